"""Files behind one another, and files that their writer did not finish, are heard to the end."""

from __future__ import annotations

import io
import struct
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mimo_edge.audio import read_audio
from mimo_edge.bundle.manifest import AudioConfig
from mimo_edge.errors import MimoEdgeError
from mimo_edge.model import MimoAudio
from tests.tools.command_line import QUICK, Command

RATE = 24_000
SOUND = Path(__file__).parent.parent / "data" / "sound"


@pytest.fixture(scope="module")
def config(model: MimoAudio) -> AudioConfig:
    return model.manifest.audio


def noise(seconds: float, rate: int = RATE, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Soft noise, which lossy codecs neither drop nor clip."""
    rng = np.random.default_rng(seed)
    return 0.05 * rng.standard_normal((int(seconds * rate), channels)).astype(np.float32)


def encoded(
    samples: np.ndarray, kind: str, subtype: str | None = None, rate: int = RATE, **options: object
) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype, **options)
    return file.getvalue()


def seconds(data: bytes | Path, config: AudioConfig) -> float:
    return len(read_audio(data, config)) / config.sample_rate


@pytest.mark.parametrize("name", ["chain.opus", "chain_vorbis.ogg"])
def test_chained_ogg(command: Command, config: AudioConfig, tmp_path: Path, name: str) -> None:
    assert seconds(SOUND / name, config) == pytest.approx(4.1, abs=0.01)
    done = command("encode", SOUND / name, "-o", tmp_path / "x.npz", "--threads", "1")
    assert done.status == 0 and "103 steps" in done.err


def test_links_of_other_kinds(config: AudioConfig) -> None:
    """Another codec, rate and number of channels, and rubbish between and behind."""
    links = [
        encoded(noise(1), "OGG", "VORBIS"),
        encoded(noise(1.5, 48_000, 2), "OGG", "OPUS", 48_000),
        encoded(noise(0.5, 16_000), "OGG", "VORBIS", 16_000),
    ]
    assert seconds(b"".join(links), config) == pytest.approx(3, abs=0.05)
    assert seconds(links[0] + b"rubbish" + links[1] + b"OggS", config) == pytest.approx(
        2.5, abs=0.05
    )
    assert seconds(links[0], config) == pytest.approx(1, abs=0.02)


ID3 = b"ID3\x03\0\0\0\0\x01\0" + bytes(128)
ID3V1 = b"TAG" + b"x" * 125


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_joined_mp3(config: AudioConfig, mode: str, capfd: pytest.CaptureFixture[str]) -> None:
    def mp3(length: float, rate: int = RATE, channels: int = 1) -> bytes:
        return encoded(noise(length, rate, channels), "MP3", rate=rate, bitrate_mode=mode)

    first, second, third = mp3(2), mp3(1, 44_100, 2), mp3(0.5)
    for joined in (
        first + second + third,
        ID3 + first + ID3V1 + ID3 + second + b"\xff\xfb\xffrubbish" + third + ID3V1,
    ):
        assert seconds(joined, config) == pytest.approx(3.5, abs=0.05)
    assert seconds(first, config) == pytest.approx(2, abs=0.001)
    assert seconds(first + 40 * ID3V1, config) == pytest.approx(2, abs=0.001)
    assert not capfd.readouterr().err  # the decoder warns there of tags that it does not expect


def test_mp3_without_a_header(config: AudioConfig) -> None:
    """Of a variable bit rate, loud behind quiet: its first frame does not tell its length."""
    quiet = np.concatenate([1e-4 * noise(3), noise(3)])
    data = encoded(quiet, "MP3", bitrate_mode="VARIABLE")
    begin = data.index(data[:2], data.index(b"Xing"))
    assert seconds(data[begin:], config) == pytest.approx(6, abs=0.1)
    assert seconds(2 * data[begin:], config) == pytest.approx(12, abs=0.2)


def flac_of(total: int, samples: np.ndarray) -> bytes:
    """A FLAC file that says it has so many samples."""
    data = bytearray(encoded(samples, "FLAC"))
    data[21] = data[21] & 0xF0 | total >> 32
    data[22:26] = struct.pack(">I", total & 0xFFFFFFFF)
    return bytes(data)


@pytest.mark.parametrize("total", [0, 1, 1000, 2**36 - 1, 48_000, 100_000])
def test_flac_of_any_stated_length(config: AudioConfig, total: int) -> None:
    samples = noise(2)
    found = read_audio(flac_of(total, samples), config)
    assert len(found) == len(samples)
    assert np.abs(found - samples[:, 0]).max() < 2**-15


def test_flac_of_a_pipe(command: Command, tmp_path: Path) -> None:
    done = command("encode", SOUND / "pipe.flac", "-o", tmp_path / "x.npz", "--threads", "1")
    assert done.status == 0 and "52 steps" in done.err
    done = command("picture", SOUND / "pipe.flac", "-o", tmp_path / "x.png")
    assert done.status == 0 and (tmp_path / "x.png").is_file()
    assert command("transcribe", SOUND / "pipe.flac", *QUICK).status == 0


def test_joined_and_cut_flac(config: AudioConfig) -> None:
    data = flac_of(0, noise(2))
    assert seconds(data + ID3 + data, config) == pytest.approx(4)
    assert seconds(ID3 + data, config) == pytest.approx(2)
    assert 1 < seconds(data[: 3 * len(data) // 4], config) < 1.6
    middle = len(data) // 2
    with pytest.raises(MimoEdgeError, match=r"is damaged [01]\.\d s after its start"):
        seconds(data[:middle] + bytes(3000) + data[middle + 3000 :], config)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_wav_of_a_recorder_that_crashed(config: AudioConfig, subtype: str) -> None:
    data = bytearray(encoded(noise(2), "WAV", subtype))
    place = data.index(b"data") + 4
    for stated, riff in product([0, 1000, 0x7FFFFFFF, 0xFFFFFFFF], [0, 36, 0xFFFFFFFF]):
        data[place : place + 4] = struct.pack("<I", stated)
        data[4:8] = struct.pack("<I", riff)
        whole, half = bytes(data), bytes(data[: len(data) // 2])
        assert seconds(whole, config) == pytest.approx(2, abs=0.001), (stated, riff)
        assert seconds(half, config) == pytest.approx(1, abs=0.01), (stated, riff)


def test_chunks_behind_the_samples_are_no_sound(config: AudioConfig) -> None:
    data = encoded(noise(1), "WAV")
    listed = data + b"LIST" + struct.pack("<I", 1000) + b"INFO" + bytes(996)
    assert seconds(listed, config) == 1


def test_other_unfinished_files(config: AudioConfig) -> None:
    for kind, name, width in (("CAF", b"data", 8), ("AU", b".snd", 4)):
        data = encoded(noise(2), kind, "PCM_16")
        place = data.index(name) + 4 + (4 if kind == "AU" else 0)
        for stated in (bytes(width), b"\xff" * width):
            patched = data[:place] + stated + data[place + width :]
            assert seconds(patched, config) == pytest.approx(2), (kind, stated)
    for kind in ("WAV", "CAF", "AU", "AIFF", "W64"):
        half = encoded(noise(2), kind, "PCM_16")[:50_000]
        assert seconds(half, config) == pytest.approx(1, abs=0.1), kind
    for kind in ("AIFF", "W64", "RF64", "CAF", "AU", "NIST", "VOC"):
        assert seconds(encoded(noise(2), kind, "PCM_16"), config) == pytest.approx(2)


def test_rubbish_takes_no_time(config: AudioConfig) -> None:
    """Patterns that begin like frames or pages, a million times."""
    for rubbish in (b"\xff\xfb\x90\x00" + b"\xff\xfb" * 500_000, b"OggS" * 250_000):
        with pytest.raises(MimoEdgeError, match=r"is not a sound file|is damaged"):
            seconds(rubbish, config)
