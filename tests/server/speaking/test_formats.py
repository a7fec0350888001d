"""Sound that is encoded piece by piece is the sound, whoever decodes it."""

from __future__ import annotations

import io
import shutil
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mimo_edge.audio import read_at
from mimo_edge.server.speaking.formats import MEDIA_TYPES, SpeechFormat, encoder

RATE = 24_000
QUESTION = Path(__file__).parents[2] / "data" / "demo" / "sum.flac"
FORMATS: tuple[SpeechFormat, ...] = ("mp3", "opus", "flac", "wav", "pcm")
FILES = FORMATS[:-1]


def sound(seconds: float) -> np.ndarray:
    samples = soundfile.read(QUESTION, dtype="float32")[0]
    repeated: np.ndarray = np.resize(samples, int(seconds * RATE))
    return repeated


def pieces(form: SpeechFormat, samples: np.ndarray, size: int = 3840) -> list[bytes]:
    """What comes out behind each so many samples, and at the end."""
    file = encoder(form, RATE)
    encoded = [file.encode(samples[at : at + size]) for at in range(0, len(samples), size)]
    return [*encoded, file.finish()]


def likeness(found: np.ndarray, expected: np.ndarray) -> float:
    """Of two sounds, whichever begins first."""
    size = 1 << 19
    cross = np.fft.irfft(np.fft.rfft(found, size) * np.conj(np.fft.rfft(expected, size)))
    return float(cross.max() / (np.linalg.norm(found) * np.linalg.norm(expected)))


@pytest.mark.parametrize("form", FILES)
def test_every_decoder_reads_it(form: SpeechFormat, tmp_path: Path) -> None:
    samples = sound(7.3)
    data = b"".join(pieces(form, samples))
    expected = pytest.approx(7.3, abs=0.1 if form == "mp3" else 1e-6)
    by_soundfile, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    assert rate == RATE
    assert len(by_soundfile) / RATE == expected
    assert likeness(by_soundfile, samples) > 0.95
    assert len(read_at(data, RATE).samples) / RATE == expected
    path = tmp_path / f"sound.{form}"
    path.write_bytes(data)
    if form == "wav":
        with wave.open(str(path)) as opened:
            assert len(opened.readframes(1 << 30)) == 2 * len(samples)
    if shutil.which("sox") and form != "opus":
        told = subprocess.run(["sox", path, "-n", "stat"], capture_output=True, text=True)
        assert told.returncode == 0
        length = next(line for line in told.stderr.splitlines() if line.startswith("Length"))
        assert float(length.split()[-1]) == expected


@pytest.mark.parametrize("form", FILES)
def test_ffmpeg_reads_it(form: SpeechFormat) -> None:
    av = pytest.importorskip("av")
    samples = sound(7.3)
    with av.open(io.BytesIO(b"".join(pieces(form, samples)))) as container:
        seconds = sum(frame.samples / frame.rate for frame in container.decode(audio=0))
    assert seconds == pytest.approx(7.3, abs=0.1)


def test_mp3_is_not_broken(capfd: pytest.CaptureFixture[str]) -> None:
    """mpg123 tells of broken frames on its error output."""
    soundfile.read(io.BytesIO(b"".join(pieces("mp3", sound(20)))))
    assert capfd.readouterr().err == ""


def test_pcm_is_16_bit_little_endian() -> None:
    samples = np.array([0, 1, -1, 0.5, 2, -2], dtype=np.float32)
    data = b"".join(pieces("pcm", samples))
    assert np.frombuffer(data, "<i2").tolist() == [0, 32767, -32767, 16384, 32767, -32767]


@pytest.mark.parametrize("form", FORMATS)
def test_it_comes_while_it_is_made(form: SpeechFormat) -> None:
    """Of 10 s, most is out before the end; flac alone is sent whole (see `encoder`)."""
    encoded = pieces(form, sound(10))
    early = sum(map(len, encoded[: len(encoded) // 2]))
    share = early / sum(map(len, encoded))
    assert share == 0 if form == "flac" else share > 0.35


@pytest.mark.parametrize("form", FORMATS)
def test_how_it_is_cut_does_not_matter(form: SpeechFormat) -> None:
    samples = sound(2)
    decoded = []
    for size in (1000, 48_000):
        data = b"".join(pieces(form, samples, size))
        decoded.append(data if form == "pcm" else soundfile.read(io.BytesIO(data))[0].tobytes())
    assert decoded[0] == decoded[1]


def test_each_has_a_type() -> None:
    assert set(MEDIA_TYPES) == set(FORMATS)
