"""Every kind of recording is heard, or refused in one sentence."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mimo_edge.audio import read_at, read_audio
from mimo_edge.audio.reading import LONGEST_S
from mimo_edge.errors import MimoEdgeError
from mimo_edge.model import MimoAudio
from mimo_edge.tasks import Overrides
from tests.tools.command_line import QUICK, Command
from tests.tools.memory import peak_anonymous

RATE = 24_000
SHORT = Overrides(max_new_tokens=4)


def tone(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    """440 Hz at half amplitude, the channels in phase."""
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


Make = Callable[[Path], Path]
"""Writes a recording to a path, which it returns."""


def write(path: Path, samples: np.ndarray, rate: int, **options: str) -> Path:
    soundfile.write(path, samples, rate, **options)
    return path


def not_a_number(path: Path) -> Path:
    samples = tone(1, RATE)
    samples[1000] = np.nan
    return write(path, samples, RATE, subtype="FLOAT")


def infinite(path: Path) -> Path:
    samples = tone(1, RATE)
    samples[1000] = np.inf
    return write(path, samples, RATE, subtype="FLOAT")


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def content(data: bytes) -> Make:
    def make(path: Path) -> Path:
        path.write_bytes(data)
        return path

    return make


BAD: dict[str, tuple[Make, str]] = {
    "0 bytes": (content(b""), "is empty (0 bytes)"),
    "text": (content(b"This is not a sound file.\n" * 20), "is not a sound file"),
    "header alone": (content(b"RIFF\x24\x00\x00\x00WAVE"), "is not a sound file"),
    "10 ms": (lambda path: write(path, tone(0.01, RATE), RATE), "holds 10 ms of sound"),
    "no samples": (lambda path: write(path, tone(0, RATE), RATE), "holds 0 ms of sound"),
    "silence": (lambda path: write(path, 0 * tone(1, RATE), RATE), "is silent"),
    "NaN": (not_a_number, "NaN or infinite"),
    "infinity": (infinite, "NaN or infinite"),
    "missing": (lambda path: path, "is not a file"),
    "a folder": (folder, "is not a file"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_recordings_get_one_sentence(command: Command, tmp_path: Path, kind: str) -> None:
    make, complaint = BAD[kind]
    sentence = command("transcribe", make(tmp_path / "bad.wav"), *QUICK).sentence
    assert complaint in sentence
    assert "bad.wav" in sentence


@pytest.mark.parametrize("task", ["ask", "speak", "chat", "continue", "encode", "few-shot"])
def test_every_command_refuses_alike(command: Command, tmp_path: Path, task: str) -> None:
    bad, out = tmp_path / "bad.wav", tmp_path / "out"
    bad.write_bytes(b"")
    arguments = {
        "ask": (bad, "What is it?"),
        "speak": ("Hello.", "--style", "calm", "--voice", bad, "-o", out.with_suffix(".wav")),
        "chat": ("--input", bad, "--output", out),
        "continue": (bad, "-o", out.with_suffix(".wav")),
        "encode": (bad, "-o", out.with_suffix(".npz")),
        "few-shot": (
            *(bad, "--instruction", "Repeat.", "--example", bad, bad, "Hello."),
            *("-o", out.with_suffix(".wav")),
        ),
    }
    options = QUICK if task != "encode" else ("--threads", "1")
    assert "is empty (0 bytes)" in command(task, *arguments[task], *options).sentence
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path != bad]


@pytest.mark.parametrize(
    ("name", "rate", "channels"),
    [
        ("a.wav", 8000, 2),
        ("a.wav", 11025, 1),
        ("a.wav", 44100, 1),
        ("a.wav", 96000, 6),
        ("a.flac", 48000, 2),
        ("a.mp3", 44100, 2),
        ("a.ogg", 22050, 1),
        ("a.aiff", 24000, 1),
    ],
)
def test_rates_channels_and_formats(
    model: MimoAudio, tmp_path: Path, name: str, rate: int, channels: int
) -> None:
    path = write(tmp_path / name, tone(1.5, rate, channels), rate)
    samples = read_audio(path, model.manifest.audio)
    assert samples.dtype == np.float32 and samples.ndim == 1
    assert abs(len(samples) - 1.5 * RATE) <= 0.05 * RATE  # MP3 pads at both ends
    middle = samples[RATE // 2 : RATE]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert abs(spectrum.argmax() * RATE / len(middle) - 440) <= 3
    assert abs(np.abs(middle).max() - 0.5) <= 0.05
    assert model.transcribe(path, overrides=SHORT).stats.prompt_positions > 0


def test_stereo_is_mixed_not_cut(model: MimoAudio, tmp_path: Path) -> None:
    both = tone(1, RATE, 2)
    both[:, 0] = 0
    samples = read_audio(write(tmp_path / "right.wav", both, RATE), model.manifest.audio)
    np.testing.assert_allclose(samples, both[:, 1] / 2, atol=1e-4)


def test_the_name_says_nothing_about_the_format(model: MimoAudio, tmp_path: Path) -> None:
    path = write(tmp_path / "sound.wav", tone(1, RATE), RATE, format="FLAC")
    assert len(read_audio(path, model.manifest.audio)) == RATE


@pytest.mark.parametrize("rate", [1, 999, 800_000])
def test_rates_that_are_none(command: Command, tmp_path: Path, rate: int) -> None:
    """A second of 24,000 samples at 1 Hz would be 2.3 GB."""
    path = write(tmp_path / "rate.wav", tone(1, RATE), rate)
    for task in ("encode", "picture"):
        output = tmp_path / {"encode": "x.npz", "picture": "x.png"}[task]
        options = ("--threads", "1") if task == "encode" else ()
        sentence = command(task, path, "-o", output, *options).sentence
        assert f"rate.wav says its sample rate is {rate} Hz" in sentence
        assert not output.exists()


def silent_hours(path: Path, hours: float, stated: bool) -> Path:
    """A small FLAC file of so much silence, whose header says how long it is, or does not."""
    with soundfile.SoundFile(path, "w", 8000, 1, format="FLAC") as file:
        block = np.zeros(8000 * 60, dtype=np.int16)
        for _ in range(round(60 * hours)):
            file.write(block)
    data = bytearray(path.read_bytes())
    if not stated:
        data[21] &= 0xF0
        data[22:26] = bytes(4)
        path.write_bytes(data)
    return path


@pytest.mark.parametrize("stated", [True, False])
def test_hours_are_refused_before_they_take_memory(
    model: MimoAudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stated: bool
) -> None:
    """From the header where it tells, else as soon as there is more."""
    path = silent_hours(tmp_path / "hours.flac", 0.5 if not stated else 5, stated)
    assert path.stat().st_size < 600_000
    config, longest = model.manifest.audio, LONGEST_S if stated else 1200.0
    sentence = "is 5 hours long, and at most 4 hours" if stated else "goes on, and at most 20 min"
    tracemalloc.start()
    try:
        with pytest.raises(MimoEdgeError, match=f"hours.flac {sentence}"):
            read_at(path, config.sample_rate, longest_s=longest)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < (5e6 if stated else 1200 * RATE * 4 * 1.3)


def test_an_hour_of_array_is_not_copied_twice(model: MimoAudio) -> None:
    samples = np.zeros(RATE * 1800, dtype=np.int16)
    tracemalloc.start()
    try:
        found = read_audio(samples, model.manifest.audio)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found) == len(samples) and peak < 1.5 * found.nbytes


def test_a_silent_half_minute_in_a_long_recording(model: MimoAudio) -> None:
    """It is left out; only a recording without any sound is refused."""
    loud = tone(20, RATE)[:, 0]
    recording = np.concatenate([loud, np.zeros(70 * RATE, dtype=np.float32), loud])
    heard: list[str] = []
    answer = model.transcribe(recording, overrides=SHORT, on_text=heard.append)
    assert answer.reason == "length"
    # Parts of 30 s or less at 6.25 patches a second, with a dozen positions of prompt each.
    assert 40 * 6.25 < answer.stats.prompt_positions < 120 * 6.25
    with pytest.raises(MimoEdgeError, match="silent"):
        model.transcribe(np.zeros(70 * RATE, dtype=np.float32))


@pytest.fixture(scope="module")
def twenty_minutes(clips: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    samples, rate = soundfile.read(clips["question"], dtype="float32")
    path = tmp_path_factory.mktemp("long") / "long.flac"
    return write(path, np.resize(samples, 1200 * rate), rate)


@pytest.mark.parametrize("task", ["ask", "continue", "chat", "speak"])
def test_twenty_minutes_do_not_fit_a_question(
    command: Command, twenty_minutes: Path, tmp_path: Path, task: str
) -> None:
    """Refused by its length, before minutes of work for nothing."""
    arguments = {
        "ask": ("What is it?",),
        "continue": ("-o", tmp_path / "a.wav"),
        "chat": ("--output", tmp_path / "chat"),
        "speak": ("-o", tmp_path / "a.wav", "--style", "calm", "--voice"),
    }[task]
    first = {"chat": ("--input",), "speak": ("Hello.", *arguments)}.get(task, ())
    rest = () if task == "speak" else arguments
    sentence = command(task, *first, twenty_minutes, *rest, *QUICK).sentence
    assert "the recording of 1200 s takes 7500 positions" in sentence
    assert "the context holds 4096" in sentence and "give a larger context" in sentence


@pytest.mark.slow
def test_twenty_minutes_are_transcribed_in_parts(
    default_bundle: Path, twenty_minutes: Path
) -> None:
    """In bounded memory: measured 294 MB, 115 MB of them samples."""

    if not sys.platform.startswith("linux"):
        pytest.skip("anonymous memory is read from /proc")
    arguments = ["--model", str(default_bundle), "--threads", "1", "--max-new-tokens", "4"]
    command = [sys.executable, "-m", "mimo_edge", "transcribe", str(twenty_minutes), *arguments]
    status, peak = peak_anonymous(command)
    assert status == 0
    assert peak < 500e6
