"""Speech through the speaker, and into a file by the answer itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from mimo_edge.errors import MimoEdgeError
from mimo_edge.live import devices, play
from mimo_edge.model import MimoAudio
from mimo_edge.tasks import Overrides

from .conftest import QUICK, Command


class FakeSpeaker:
    """Takes blocks as fast as it is looked at, and keeps them."""

    heard: list[np.ndarray]

    def __init__(self, pull: Callable[[int], np.ndarray], rate: int) -> None:
        self.pull, self.latency = pull, 0.0
        FakeSpeaker.heard = []
        assert rate == 24_000

    def check(self) -> None:
        self.heard.append(self.pull(480))

    def __enter__(self) -> FakeSpeaker:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def speaker(monkeypatch: pytest.MonkeyPatch) -> type[FakeSpeaker]:
    monkeypatch.setattr(play, "Speaker", FakeSpeaker)
    monkeypatch.setattr(play, "choose_device", lambda *_: None)
    monkeypatch.setattr(play, "time", SimpleNamespace(sleep=lambda seconds: None))
    return FakeSpeaker


SAY = ("speak", "Hello there.", *QUICK, "--max-new-tokens", 40)


def test_without_a_file_it_is_played(
    command: Command, speaker: type[FakeSpeaker], tmp_path: Path
) -> None:
    path = tmp_path / "a.wav"
    result = command(*SAY)
    assert result.status == 0 and "speaker: " in result.err
    played = np.concatenate(speaker.heard)
    assert command(*SAY, "-o", path, "--play").status == 0
    written, _ = soundfile.read(path, dtype="float32")
    assert len(written) == len(played) == sum(map(len, speaker.heard)) > 0
    np.testing.assert_allclose(written, np.clip(played, -1, 1), atol=1e-4)


def test_a_file_is_enough(command: Command, speaker: type[FakeSpeaker], tmp_path: Path) -> None:
    FakeSpeaker.heard = []
    assert command(*SAY, "-o", tmp_path / "a.wav").status == 0
    assert not speaker.heard


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
