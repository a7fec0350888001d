"""Log-mel, resampling and cutting: lengths, energies, places."""

from __future__ import annotations

import numpy as np
import pytest

from mimo_edge.audio import log_mel, mel_filters, resample, split_at_quiet
from mimo_edge.bundle.manifest import AudioConfig
from mimo_edge.model import MimoAudio

RATE = 24_000


@pytest.fixture
def config(model: MimoAudio) -> AudioConfig:
    return model.manifest.audio


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return (0.2 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


@pytest.mark.parametrize("samples", [481, 720, 960, 24_000, 24_239, 24_240, 500_000])
def test_frames(config: AudioConfig, samples: int) -> None:
    mel = log_mel(noise(samples), config)
    assert mel.shape == (1 + samples // 240, 128) and mel.dtype == np.float32
    assert np.isfinite(mel).all()


def test_frames_do_not_depend_on_how_many_are_computed_at_once(config: AudioConfig) -> None:
    samples = noise(3000 * 240)
    mel = log_mel(samples, config)
    part = log_mel(samples[2000 * 240 :], config)
    np.testing.assert_allclose(mel[2010:2990], part[10:990], atol=1e-4)


def test_a_tone_lights_its_band(config: AudioConfig) -> None:
    for hertz in (200, 1000, 5000):
        wave = np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE).astype(np.float32)
        band = int(log_mel(wave, config)[50].argmax())
        bins = mel_filters(config)[:, band].nonzero()[0] * RATE / config.n_fft
        assert bins.min() - 25 <= hertz <= bins.max() + 25
    silent = log_mel(np.zeros(RATE, dtype=np.float32), config)
    assert np.allclose(silent, np.log(1e-7))


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000, 192_000])
def test_resampling_keeps_length_and_energy(rate: int) -> None:
    seconds = 2
    time = np.arange(seconds * rate) / rate
    wave = (0.5 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    found = resample(wave, rate, RATE)
    assert found.dtype == np.float32 and abs(len(found) - seconds * RATE) <= 1
    inner = found[RATE // 2 : -RATE // 2]
    assert np.sqrt(np.mean(inner**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.01)
    again = resample(found, RATE, rate)
    assert np.abs(again - wave)[rate // 2 : -rate // 2].max() < 0.01


def test_resampling_removes_what_does_not_fit() -> None:
    """15 kHz would fold to 9 kHz."""
    wave = np.sin(2 * np.pi * 15_000 * np.arange(48_000) / 48_000).astype(np.float32)
    assert np.abs(resample(wave, 48_000, RATE)[2000:-2000]).max() < 0.01
    assert resample(wave, 48_000, 48_000) is wave
    assert not len(resample(wave[:0], 48_000, RATE))


def test_cuts_are_where_it_is_quiet() -> None:
    """Three pauses in the last quarters of the parts; the cut is inside the pause."""
    samples = noise(100 * RATE)
    pauses = (27.0, 53.0, 80.0)
    for start in pauses:
        samples[int(start * RATE) : int((start + 0.4) * RATE)] *= 1e-3
    parts = split_at_quiet(samples, RATE, 30)
    np.testing.assert_array_equal(np.concatenate(parts), samples)
    cuts = np.cumsum([len(part) for part in parts])[:-1] / RATE
    assert len(cuts) == 3
    for cut, start in zip(cuts, pauses, strict=True):
        assert start < cut < start + 0.4


@pytest.mark.parametrize("seconds", [0.5, 29.9, 30, 30.001, 45, 61, 200])
@pytest.mark.parametrize("kind", ["noise", "silence"])
def test_parts_are_never_longer(seconds: float, kind: str) -> None:
    count = int(seconds * RATE)
    samples = noise(count) if kind == "noise" else np.zeros(count, dtype=np.float32)
    parts = split_at_quiet(samples, RATE, 30)
    np.testing.assert_array_equal(np.concatenate(parts), samples)
    assert max(map(len, parts)) <= 30 * RATE
    # Long enough for the analysis window, whatever the rest.
    assert min(map(len, parts)) >= 481
    assert (len(parts) == 1) == (seconds <= 30)
