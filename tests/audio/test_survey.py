"""Long recordings are gone through in blocks, and cut as if they were in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mimo_edge.audio import kept_stretches, surveyed
from mimo_edge.audio.passages import Passages
from mimo_edge.audio.sound import open_sound
from tests.transcription.recordings import write_recording

RATE = 24_000


def blocks_of(samples: np.ndarray, sizes: list[int]) -> Iterator[np.ndarray]:
    yield from np.split(samples, np.cumsum(sizes))


def test_passages() -> None:
    samples = np.arange(100, dtype=np.float32)
    for sizes in ([30, 30, 30], [1] * 99, [], [99]):
        passages = Passages(blocks_of(samples, sizes), back=5)
        for begin, end in ((3, 10), (5, 6), (10, 10), (40, 60), (55, 70), (95, 120), (100, 130)):
            np.testing.assert_array_equal(passages.take(begin, end), samples[begin:end])


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six minutes, more than is kept in memory."""
    path = tmp_path_factory.mktemp("survey") / "six.wav"
    write_recording(path, 360, seed=2)
    return path


def test_a_file_is_cut_as_its_samples_are(recording: Path) -> None:
    samples = soundfile.read(recording, dtype="float32")[0]
    with surveyed(recording, RATE) as found, surveyed(samples, RATE) as expected:
        assert found.stretches == expected.stretches == kept_stretches(samples, RATE)
        assert len(found.stretches) > 50
        assert found.samples == len(samples) and found.seconds > 360
        assert (found.digest, found.peak) == (expected.digest, float(np.abs(samples).max()))
        for rest_s in (0.0, 2.0, 1e9):
            parts = list(found.cut(30, rest_s))
            for part, other in zip(parts, expected.cut(30, rest_s), strict=True):
                assert (part.begin, part.end) == (other.begin, other.end)
                np.testing.assert_array_equal(part.samples, other.samples)
                assert len(part.samples) <= 30 * RATE
            joined = np.concatenate([part.samples for part in parts])
            kept = np.concatenate([samples[begin:end] for begin, end in found.stretches])
            np.testing.assert_array_equal(joined, kept)


def test_another_rate_and_format(recording: Path, tmp_path: Path) -> None:
    """Resampled as one sound; a digest is that of the sound, not of the file."""
    samples = soundfile.read(recording, dtype="float32")[0]
    flac = tmp_path / "same.flac"
    soundfile.write(flac, samples, RATE)
    with surveyed(flac, RATE) as one, surveyed(recording, RATE) as other:
        assert one.digest == other.digest
    with surveyed(recording, 16_000) as slower:
        assert slower.samples == pytest.approx(len(samples) * 2 / 3, abs=2)
        assert slower.digest != other.digest


def test_a_long_sound_is_not_kept(recording: Path) -> None:
    """Only one that is short enough, and only once it was read to its end."""
    for kept_s, kept in ((300, False), (400, True)):
        with open_sound(recording, RATE, kept_s=kept_s) as sound:
            next(sound.blocks())
            first, second = list(sound.blocks()), list(sound.blocks())
            assert sum(map(len, first)) == sum(map(len, second)) > 360 * RATE
            assert all(a is b for a, b in zip(first, second, strict=True)) == kept


def test_an_open_stream_is_read_from_where_it_stands(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    (tmp_path / "b.bin").write_bytes(b"header" + (tmp_path / "a.wav").read_bytes())
    with (tmp_path / "b.bin").open("rb") as file:
        file.seek(6)
        with open_sound(file, RATE) as sound:
            for _ in range(2):
                np.testing.assert_array_equal(np.concatenate([*sound.blocks()]), samples)
        assert not file.closed


def test_no_sample_at_all() -> None:
    with surveyed(np.zeros(0, np.float32), RATE) as nothing:
        assert (nothing.samples, nothing.stretches) == (0, [])
