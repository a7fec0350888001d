"""Speech through the speaker, and into a file by the answer itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import soundfile

from mimo_edge.devices import choice as devices
from mimo_edge.devices import play
from mimo_edge.errors import MimoEdgeError
from mimo_edge.model import MimoAudio
from mimo_edge.tasks import Overrides
from tests.tools.command_line import QUICK, Command


class FakeSpeaker:
    """Takes a block whenever it is waited for, and keeps it."""

    heard: ClassVar[list[np.ndarray]] = []
    opened = False

    def __init__(self, pull: Callable[[int], np.ndarray], rate: int) -> None:
        self.pull, self.latency = pull, 0.0
        self.heard.clear()
        FakeSpeaker.opened = True
        assert rate == 24_000

    def check(self) -> None:
        pass

    def wait(self, seconds: float) -> None:
        self.heard.append(self.pull(480))

    def close(self) -> None:
        FakeSpeaker.opened = False


@pytest.fixture
def speaker(monkeypatch: pytest.MonkeyPatch) -> type[FakeSpeaker]:
    def open_speaker(pull: Callable[[int], np.ndarray], rate: int) -> FakeSpeaker:
        fake = FakeSpeaker(pull, rate)
        clock = SimpleNamespace(sleep=fake.wait, monotonic=time.monotonic)
        monkeypatch.setattr(play, "time", clock)
        return fake

    FakeSpeaker.heard.clear()
    monkeypatch.setattr(play, "Speaker", open_speaker)
    monkeypatch.setattr(play, "choose_device", lambda *_: None)
    return FakeSpeaker


SAY = ("speak", "Hello there.", *QUICK, "--max-new-tokens", 40)


def test_without_a_file_it_is_played(
    command: Command, speaker: type[FakeSpeaker], tmp_path: Path
) -> None:
    """To its end, and the same with a file."""
    path = tmp_path / "a.wav"
    result = command(*SAY)
    assert result.status == 0 and "speaker: " in result.err
    played = np.trim_zeros(np.concatenate(speaker.heard))
    assert command(*SAY, "-o", path, "--play").status == 0 and not speaker.opened
    again = np.trim_zeros(np.concatenate(speaker.heard))
    np.testing.assert_array_equal(played, again)
    written, _ = soundfile.read(path, dtype="float32")
    assert len(written) == pytest.approx(len(played), abs=480) and len(played) > 3000


def test_a_file_is_enough(command: Command, speaker: type[FakeSpeaker], tmp_path: Path) -> None:
    assert command(*SAY, "-o", tmp_path / "a.wav").status == 0
    assert not speaker.heard


def test_nothing_is_waited_for_without_speech(command: Command, speaker: type[FakeSpeaker]) -> None:
    result = command("speak", "Hello there.", *QUICK, "--temperature", 5, "--max-new-tokens", 16)
    assert "nothing is played" in result.sentence and not speaker.opened


def test_pieces_of_speech_as_they_come(model: MimoAudio) -> None:
    overrides = Overrides(seed=1, max_new_tokens=40)
    pieces: list[np.ndarray] = []
    answer = model.speak("Hello there.", overrides=overrides, on_sound=pieces.append)
    assert answer.audio is not None and pieces
    assert sum(map(len, pieces)) == len(answer.audio)


def test_without_a_speaker_it_says_so_first(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "list_devices", lambda: [])
    sentence = command("speak", "Hello.", "--model", "nowhere").sentence
    assert "no speaker" in sentence and "-o FILE" in sentence


def test_answers_save_themselves(model: MimoAudio, tmp_path: Path) -> None:
    overrides = Overrides(seed=1, max_new_tokens=40)
    answer = model.speak("Hello there.", overrides=overrides)
    assert answer.audio is not None
    for name in ("a.wav", "b.flac"):
        answer.save(tmp_path / name)
        assert soundfile.info(tmp_path / name).frames == len(answer.audio)
    answer.save(str(tmp_path / "c.ogg"))
    with pytest.raises(MimoEdgeError, match=r"\.txt"):
        answer.save(tmp_path / "d.txt")
    silent = model.session(reply="text", overrides=overrides).ask(text="Hello.")
    with pytest.raises(MimoEdgeError, match="holds no speech"):
        silent.save(tmp_path / "e.wav")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "b.flac", "c.ogg"]
