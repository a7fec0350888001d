"""What is said in several channels is in the one that is made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from mimo_edge.audio import read_audio
from mimo_edge.audio.mixing import Mixer
from mimo_edge.bundle.manifest import AudioConfig
from mimo_edge.model import MimoAudio

RATE = 24_000
SOUND = Path(__file__).parent.parent / "data" / "sound"


@pytest.fixture(scope="module")
def config(model: MimoAudio) -> AudioConfig:
    return model.manifest.audio


@pytest.fixture(scope="module")
def speech(clips: dict[str, Path]) -> np.ndarray:
    samples: np.ndarray = soundfile.read(clips["voice"], dtype="float32")[0]
    return samples


def mixed(channels: np.ndarray, block: int) -> np.ndarray:
    mixer = Mixer(channels.shape[1], RATE)
    blocks = [channels[at : at + block] for at in range(0, len(channels), block)]
    return np.concatenate([mixer.mix(part) for part in blocks])


def likeness(found: np.ndarray, expected: np.ndarray) -> float:
    """Correlation, whatever the sign."""
    return abs(float(found @ expected)) / float(
        np.linalg.norm(found) * np.linalg.norm(expected) + 1e-9
    )


def loudness(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))


BLOCKS = (240, 480, 6000, 1 << 20)
"""Of a device, and of files."""


@pytest.mark.parametrize("block", BLOCKS)
def test_opposite_phase(speech: np.ndarray, block: int) -> None:
    """From the first block on nothing is lost."""
    pairs = [(1, -1), (-1, 1), (1, -0.7), (0.7, -1)]
    for gains in (*pairs, (1, -1, 1, -1), (1, 1, -1, -1), (-1, 0, 1)):
        found = mixed(speech[:, None] * np.array(gains, dtype=np.float32), block)
        share = np.abs(gains).mean()
        np.testing.assert_allclose(
            np.abs(found), share * np.abs(speech), atol=1e-6, err_msg=str(gains)
        )


@pytest.mark.parametrize("block", BLOCKS)
def test_other_channels_are_just_averaged(speech: np.ndarray, block: int) -> None:
    other = np.roll(speech[::-1], 777)
    for channels in (
        [speech, speech],
        [speech, 0.1 * speech],
        [speech, 0 * speech],
        [speech, other],
        [speech, -0.1 * speech],
        [speech, -0.5 * speech],
        [0 * speech, 0 * speech],
    ):
        both = np.stack(channels, axis=1)
        np.testing.assert_array_equal(mixed(both, block), both.mean(axis=1, dtype=np.float32))


@pytest.mark.parametrize("block", BLOCKS)
def test_in_noise_and_with_an_offset(speech: np.ndarray, block: int) -> None:
    """Microphones have noise and a constant part of their own."""
    rng = np.random.default_rng(0)
    both = np.stack([speech, -speech], axis=1)
    both += (0.1 * loudness(speech) * rng.standard_normal(both.shape)).astype(np.float32)
    both += np.array([0.3, 0.3], dtype=np.float32)
    found = mixed(both, block)
    assert likeness(found - found.mean(), speech) > 0.97


@pytest.mark.parametrize("block", [240, 6000])
def test_it_may_change(speech: np.ndarray, block: int) -> None:
    """Two talkers, one of them in opposite phase: both are heard, without a click between."""
    normal, opposite = np.stack([speech] * 2, axis=1), np.stack([speech, -speech], axis=1)
    found = mixed(np.concatenate([normal, opposite, normal]), block)
    for part in np.split(found, 3):
        assert likeness(part, speech) > 0.9
    assert np.abs(np.diff(found)).max() < 1.5 * np.abs(np.diff(speech)).max()


def test_blocks_of_anything(speech: np.ndarray) -> None:
    mixer = Mixer(2, RATE)
    assert not len(mixer.mix(np.zeros((0, 2), dtype=np.float32)))
    for value in (1e-30, 1e30, 1.0):
        both = np.stack([speech[:480], -speech[:480]], axis=1) * np.float32(value)
        assert np.isfinite(mixer.mix(both)).all()
    assert len(mixer.mix(speech[:1, None].repeat(2, axis=1))) == 1


def test_files(config: AudioConfig, tmp_path: Path) -> None:
    """A recording of two channels in opposite phase is its first channel."""
    path = SOUND / "opposite-phase.flac"
    both, rate = soundfile.read(path, dtype="float32")
    assert np.abs(both.mean(axis=1)).max() < 1e-3
    expected = read_audio((both[:, 0], rate), config)
    assert likeness(read_audio(path, config), expected) > 0.99
    assert loudness(read_audio(path, config)) == pytest.approx(loudness(expected), rel=0.05)
