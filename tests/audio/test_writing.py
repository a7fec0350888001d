"""Sound is written by the file's name, whole or not at all."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from mimo_edge.audio import check_audio_name, write_audio
from mimo_edge.errors import MimoEdgeError
from tests.tools.command_line import QUICK, Command
from tests.tools.full_disk import largest_file

RATE = 24_000
FORMATS = {"wav": "WAV", "flac": "FLAC", "mp3": "MP3", "ogg": "OGG", "opus": "OGG"}
LOSSLESS = {"wav", "flac"}


@pytest.fixture(scope="module")
def voice(clips: dict[str, Path]) -> np.ndarray:
    samples: np.ndarray = soundfile.read(clips["voice"], dtype="float32")[0]
    return samples


def similarity(found: np.ndarray, expected: np.ndarray) -> float:
    """Correlation at the best shift of up to 0.1 s: codecs begin a little later."""
    size = len(expected) + len(found)
    cross = np.fft.irfft(np.fft.rfft(found, size) * np.conj(np.fft.rfft(expected, size)), size)
    near = np.concatenate([cross[: RATE // 10], cross[-RATE // 10 :]])
    return float(near.max() / (np.linalg.norm(found) * np.linalg.norm(expected)))


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("rate", [24_000, 22_050])
def test_formats(voice: np.ndarray, tmp_path: Path, ending: str, rate: int) -> None:
    path = tmp_path / f"voice.{ending}"
    write_audio(path, voice, rate)
    assert list(tmp_path.iterdir()) == [path]
    info = soundfile.info(path)
    assert info.format == FORMATS[ending] and info.channels == 1
    assert info.subtype == ("OPUS" if ending in ("ogg", "opus") else info.subtype)
    found, found_rate = soundfile.read(path, dtype="float32")
    if ending in LOSSLESS:
        assert found_rate == rate and len(found) == len(voice)
        assert np.abs(found - voice).max() <= 2**-15
    seconds = len(voice) / rate
    assert abs(len(found) / found_rate - seconds) <= 0.1
    assert similarity(soxr.resample(found, found_rate, rate), voice) > 0.95


def test_upper_case_names_and_loud_samples(voice: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "Loud.WAV"
    write_audio(path, 40 * voice, RATE)
    found, _ = soundfile.read(path, dtype="float32")
    # Clipped, not wrapped around.
    assert np.abs(found - np.clip(40 * voice, -1, 1)).max() <= 2**-14


def test_a_file_is_replaced(voice: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "voice.wav"
    write_audio(path, voice, RATE)
    write_audio(path, voice[:100], RATE)
    assert soundfile.info(path).frames == 100
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["a.xyz", "a", "a.wav.bak", ".wav"])
def test_unknown_endings(name: str) -> None:
    with pytest.raises(MimoEdgeError, match=r"use one of \.wav \.flac \.mp3 \.ogg \.opus"):
        check_audio_name(Path(name))


@pytest.mark.parametrize("task", ["speak", "continue", "decode", "few-shot", "encode"])
def test_output_is_checked_before_the_model_is_loaded(
    command: Command, clips: dict[str, Path], tmp_path: Path, task: str
) -> None:
    """The bundle is a missing folder: whoever looked at it would complain about that."""
    clip = clips["short"]
    first = {"speak": ("Hello.",), "few-shot": (clip, "--instruction", "Do it.")}.get(task, (clip,))
    if task == "few-shot":
        first += ("--example", clip, clip, "Hello.")
    model = ("--model", tmp_path / "missing")
    sentence = command(task, *first, "-o", tmp_path / "a.xyz", *model).sentence
    assert "a.xyz" in sentence and "missing" not in sentence
    nowhere = tmp_path / "no" / "a.wav"
    sentence = command(task, *first, "-o", nowhere, *model).sentence
    assert f"there is no folder {tmp_path / 'no'}" in sentence
    assert not list(tmp_path.iterdir())


def test_chat_checks_its_outputs_first(
    command: Command, clips: dict[str, Path], tmp_path: Path
) -> None:
    base = ("chat", "--input", clips["short"], "--model", tmp_path / "missing")
    assert "'xyz' is not one of" in command(*base, "--format", "xyz").err
    nowhere = tmp_path / "no" / "s.npz"
    assert "there is no folder" in command(*base, "--save-session", nowhere).sentence
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    assert "cannot be made" in command(*base, "--output", blocked / "chat").sentence


@pytest.mark.parametrize("ending", FORMATS)
def test_a_full_disk_leaves_nothing(voice: np.ndarray, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    with largest_file(2000), pytest.raises(MimoEdgeError, match="free disk"):
        write_audio(path, voice, RATE)
    assert not list(tmp_path.iterdir())
    gc.collect()  # the traceback holds the sound


def test_a_full_disk_keeps_the_older_file(voice: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write_audio(path, voice[:100], RATE)
    with largest_file(2000), pytest.raises(MimoEdgeError, match="free disk"):
        write_audio(path, voice, RATE)
    assert soundfile.info(path).frames == 100
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", FORMATS)
def test_speak_writes_every_format(command: Command, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"hello.{ending}"
    result = command("speak", "Hello there.", "-o", path, *QUICK, "--max-new-tokens", 40)
    assert result.status == 0, result.err
    assert list(tmp_path.iterdir()) == [path]
    assert f"{path}: " in result.err and " s of speech" in result.err
    assert soundfile.info(path).frames > 0
