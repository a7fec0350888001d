"""What `--record` leaves on disk, also when the program or the disk ends."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from mimo_edge.dialogue import recording
from mimo_edge.dialogue.recording import Recording, check_recording
from mimo_edge.errors import MimoEdgeError
from tests.tools.full_disk import largest_file

RATE = 24000


def tone(seconds: float, amplitude: float = 0.5) -> NDArray[np.float32]:
    time_s = np.arange(int(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * 440 * time_s)).astype(np.float32)


def read(folder: Path) -> tuple[NDArray[np.float32], NDArray[np.float32], list[dict[str, object]]]:
    """(user's sound, assistant's, lines of the transcript)."""
    sounds = []
    for name in ("user.wav", "assistant.wav"):
        info = soundfile.info(folder / name)
        assert (info.format, info.subtype) == ("WAV", "PCM_16")
        assert (info.samplerate, info.channels) == (RATE, 1)
        sounds.append(soundfile.read(folder / name, dtype="float32")[0])
    lines = (folder / "transcript.jsonl").read_text("utf-8").splitlines()
    return sounds[0], sounds[1], [json.loads(line) for line in lines]


def close(samples: NDArray[np.float32], expected: NDArray[np.float32]) -> bool:
    return samples.shape == expected.shape and bool(np.allclose(samples, expected, atol=1e-4))


def wait_for(condition: object) -> None:
    for _ in range(500):
        if condition():  # type: ignore[operator]
            return
        time.sleep(0.01)
    raise AssertionError("it does not happen")


def test_both_sides_on_one_time_line(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "talk"
    with Recording(folder, began=100.0) as recorder:
        recorder.write("user", tone(1.0), at=100.5)
        recorder.note({"event": "question", "start": 0.5, "end": 1.5})
        recorder.write("assistant", tone(0.5), at=102.0)
        recorder.write("assistant", tone(0.5))
        recorder.note({"event": "answer", "text": "Grüße\n你好", "start": 2.0, "end": 3.0})
    user, assistant, lines = read(folder)
    half = np.zeros(RATE // 2, dtype=np.float32)
    assert close(user, np.concatenate([half, tone(1.0), half, half, half]))
    assert close(assistant, np.concatenate([half, half, half, half, tone(0.5), tone(0.5)]))
    assert [line["event"] for line in lines] == ["question", "answer"]
    assert lines[1]["text"] == "Grüße\n你好"
    assert recorder.problem is None


def test_blocks_whose_times_jitter_leave_no_gaps(tmp_path: Path) -> None:
    sound, jitter = tone(2.0), np.random.default_rng(0)
    with Recording(tmp_path, began=0.0) as recorder:
        for start in range(0, len(sound), 480):
            at = start / RATE + (jitter.uniform(-0.05, 0.05) if start else 0.0)
            recorder.write("user", sound[start : start + 480], at=at)
    assert close(read(tmp_path)[0], sound)


def begin_of_words(track: NDArray[np.float32]) -> list[float]:
    """Seconds at which sound follows on at least half a second of silence."""
    loud = np.flatnonzero(np.abs(track) > 0.02)
    return [float(n) / RATE for n in loud[np.diff(loud, prepend=-RATE) > RATE // 2]]


def test_first_blocks_that_come_at_once(tmp_path: Path) -> None:
    """A device may hand over at 0.58 s what it has heard since 0.5 s; the room is not silent."""
    noise = np.random.default_rng(0).normal(0, 0.002, 2 * RATE).astype(np.float32)
    sound = np.concatenate([noise, tone(1.0)])
    with Recording(tmp_path, began=0.0) as recorder:
        for start in range(0, len(sound), 240):
            recorder.write("user", sound[start : start + 240], at=max(0.58, 0.5 + start / RATE))
    assert begin_of_words(read(tmp_path)[0]) == pytest.approx([2.5], abs=0.02)


def test_drift_is_mended_in_a_pause(tmp_path: Path) -> None:
    """Of a sound card that counts 1% too few samples; a word stays as it was said."""
    word, pause = tone(1.5), np.zeros(RATE, dtype=np.float32)
    sound = np.concatenate([word, pause] * 4)
    with Recording(tmp_path, began=0.0) as recorder:
        for start in range(0, len(sound), 240):
            recorder.write("user", sound[start : start + 240], at=1.01 * start / RATE)
    track = read(tmp_path)[0]
    begins = begin_of_words(track)
    assert begins == pytest.approx([2.525 * n for n in range(4)], abs=0.03)
    for begin in begins:
        assert close(track[round(begin * RATE) :][: len(word) - 1], word[1:])


def test_clock_that_drifts_is_followed(tmp_path: Path) -> None:
    """A sound card that counts 5% too many samples: surplus is cut off, not carried along."""
    with Recording(tmp_path, began=0.0) as recorder:
        for number in range(500):
            recorder.write("user", tone(0.021), at=0.02 * number)
    assert len(read(tmp_path)[0]) / RATE == pytest.approx(10.0, abs=0.15)


def test_sound_before_the_beginning_is_cut(tmp_path: Path) -> None:
    with Recording(tmp_path, began=10.0) as recorder:
        recorder.write("user", tone(1.0), at=8.0)
        recorder.write("user", tone(1.0), at=9.5)
    assert close(read(tmp_path)[0], tone(1.0)[RATE // 2 :])


def test_loud_sound_is_clipped(tmp_path: Path) -> None:
    with Recording(tmp_path) as recorder:
        recorder.write("user", tone(0.1, amplitude=3.0))
    assert close(read(tmp_path)[0], np.clip(tone(0.1, amplitude=3.0), -1, 1))


def test_caller_may_reuse_its_buffer(tmp_path: Path) -> None:
    buffer = tone(0.1)
    with Recording(tmp_path) as recorder:
        recorder.write("user", buffer)
        buffer[:] = 0
    assert close(read(tmp_path)[0], tone(0.1))


def test_empty_recording_is_readable(tmp_path: Path) -> None:
    Recording(tmp_path).close()
    user, assistant, lines = read(tmp_path)
    assert len(user) == len(assistant) == len(lines) == 0


def test_existing_recording_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "assistant.wav").write_bytes(b"precious")
    with pytest.raises(MimoEdgeError, match=r"holds a recording already \(assistant\.wav\)"):
        Recording(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["assistant.wav"]
    assert (tmp_path / "assistant.wav").read_bytes() == b"precious"


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MimoEdgeError, match=r"cannot be recorded to \(.*choose another"):
        Recording(tmp_path / "file" / "talk")


def test_no_room_at_all_leaves_nothing(tmp_path: Path) -> None:
    with largest_file(10), pytest.raises(MimoEdgeError, match="cannot be recorded to"):
        Recording(tmp_path / "new" / "folder")
    assert not list(tmp_path.iterdir())


def test_full_disk_ends_the_recording_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Recording(tmp_path) as recorder:
        recorder.note({"event": "question"})
        with largest_file(44 + 2 * RATE + 501), caplog.at_level(logging.WARNING):
            for _ in range(100):
                recorder.write("user", tone(0.02))
                recorder.write("assistant", tone(0.02))
            wait_for(lambda: recorder.problem)
            recorder.write("user", tone(0.02))
            recorder.note({"event": "answer"})
        assert recorder.problem is not None
        assert "recording stopped (File too large)" in recorder.problem
    assert len(caplog.records) == 1
    user, assistant, lines = read(tmp_path)
    assert close(user[:480], tone(0.02)) and len(user) == RATE
    assert len(assistant) in (RATE, RATE - 480)
    assert lines == [{"event": "question"}]


def test_line_that_does_not_fit_is_left_out(tmp_path: Path) -> None:
    with Recording(tmp_path) as recorder:
        recorder.note({"text": "short"})
        with largest_file(200):
            recorder.note({"text": "long " * 100})
            wait_for(lambda: recorder.problem)
    assert read(tmp_path)[2] == [{"text": "short"}]


def test_longest_wav(tmp_path: Path) -> None:
    """25 hours are more than its header can count."""
    with Recording(tmp_path, began=0.0) as recorder:
        recorder.write("assistant", tone(0.5), at=0.0)
        recorder.write("assistant", tone(0.5), at=25 * 3600.0)
        wait_for(lambda: recorder.problem)
    assert recorder.problem is not None and "4 GiB" in recorder.problem
    assert close(read(tmp_path)[1], tone(0.5))


def test_disk_that_is_too_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "write_all", lambda *_: time.sleep(0.1))
    with Recording(tmp_path) as recorder:
        for _ in range(20_100):
            recorder.write("user", tone(0.001))
        assert recorder.problem is not None and "too slow" in recorder.problem


_TALK = """
import sys, time
from pathlib import Path
import numpy as np
from mimo_edge.dialogue.recording import Recording

recorder = Recording(Path(sys.argv[1]))
for number in range(1000):
    recorder.write("user", np.full(480, 0.25, dtype=np.float32))
    if number % 2:
        recorder.write("assistant", np.full(960, 0.5, dtype=np.float32))
    recorder.note({"number": number, "start": 0.02 * number, "end": 0.02 * (number + 1)})
    if number == 100:
        transcript = Path(sys.argv[1]) / "transcript.jsonl"
        while '"number": 100' not in transcript.read_text():  # and all before it
            time.sleep(0.01)
        print("go", flush=True)
    time.sleep(0.002)
"""


def test_killed_program_leaves_what_was_said(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _TALK, str(tmp_path)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"go"
        time.sleep(0.05)
        process.kill()
    user, assistant, lines = read(tmp_path)
    assert len(user) >= 100 * 480 and np.allclose(user, 0.25, atol=1e-4)
    assert len(assistant) >= 49 * 960 and np.allclose(assistant, 0.5, atol=1e-4)
    assert len(lines) >= 100
    assert [line["number"] for line in lines] == list(range(len(lines)))


def test_a_folder_is_checked_without_a_trace(tmp_path: Path) -> None:
    check_recording(tmp_path / "new" / "folder")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("in the way")
    for name in ("file", "file/new", "m" * 300):
        with pytest.raises(MimoEdgeError, match="cannot be written"):
            check_recording(tmp_path / name)
    link = tmp_path / "user.wav"
    link.symlink_to(tmp_path / "nothing")
    for attempt in (check_recording, Recording):
        with pytest.raises(MimoEdgeError, match=r"holds a recording already \(user.wav\)"):
            attempt(tmp_path)
    assert link.is_symlink()
