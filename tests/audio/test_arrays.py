"""Samples that a program has: of any type that says what its full scale is, at any rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from mimo_edge.audio import read_audio, resample
from mimo_edge.bundle.manifest import AudioConfig
from mimo_edge.errors import MimoEdgeError
from mimo_edge.model import MimoAudio

RATE = 24_000


@pytest.fixture(scope="module")
def config(model: MimoAudio) -> AudioConfig:
    return model.manifest.audio


@pytest.fixture(scope="module")
def speech(clips: dict[str, Path]) -> np.ndarray:
    samples: np.ndarray = soundfile.read(clips["short"], dtype="float32")[0]
    return samples


def test_floats_of_any_width(config: AudioConfig, speech: np.ndarray) -> None:
    np.testing.assert_array_equal(read_audio(speech, config), speech)
    for kind in (np.float64, np.float16, ">f4"):
        found = read_audio(speech.astype(kind), config)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, speech, atol=1e-3)
    np.testing.assert_array_equal(read_audio(np.repeat(speech, 2)[::2], config), speech)


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "uint16", "int32", ">i2"])
def test_integers_are_scaled_by_their_type(
    config: AudioConfig, speech: np.ndarray, kind: str
) -> None:
    info = np.iinfo(kind)
    scale = 2.0 ** (info.bits - 1)
    integers = np.floor(speech.astype(np.float64) * scale + (scale if info.min == 0 else 0))
    found = read_audio(integers.astype(kind), config)
    np.testing.assert_allclose(found, speech, atol=1.01 / scale)


def test_a_16_bit_file_is_the_same_as_its_integers(
    config: AudioConfig, clips: dict[str, Path]
) -> None:
    integers, _ = soundfile.read(clips["short"], dtype="int16")
    np.testing.assert_array_equal(read_audio(integers, config), read_audio(clips["short"], config))


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, np.int64(48_000), 22_050.0])
def test_samples_with_their_rate(config: AudioConfig, speech: np.ndarray, rate: Any) -> None:
    other = resample(speech, RATE, int(rate))
    expected = resample(other, int(rate), RATE)
    np.testing.assert_array_equal(read_audio((other, rate), config), expected)


def test_channels_are_columns(config: AudioConfig, speech: np.ndarray) -> None:
    stereo = np.stack([speech, 0 * speech], axis=1)
    np.testing.assert_allclose(read_audio(stereo, config), speech / 2, atol=1e-7)
    np.testing.assert_allclose(read_audio((stereo, RATE), config), speech / 2, atol=1e-7)
    np.testing.assert_array_equal(read_audio(speech[:, None], config), speech)


class Tensor:
    """What other libraries have."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return self.values


def test_what_becomes_an_array(config: AudioConfig, speech: np.ndarray) -> None:
    np.testing.assert_array_equal(read_audio(Tensor(speech), config), speech)  # type: ignore[arg-type]


ONE = np.full(RATE, 0.1, dtype=np.float32)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (ONE > 0, "is of bool, whose full scale is not known"),
        (ONE.astype(np.int64), "is of int64"),
        (ONE.astype(complex), "is of complex128"),
        (ONE.astype(object), "is of object"),
        (ONE[None, :].repeat(2, axis=0), r"shape \(2, 24000\); .*turn it over with \.T"),
        (ONE[None, None], r"shape \(1, 1, 24000\)"),
        (np.float32(3), r"shape \(\)"),
        (20_000 * ONE, "holds samples of 2000, and full scale is 1"),
        (np.full(RATE, np.nan, dtype=np.float32), "NaN"),
        (np.full(RATE, -np.inf), "infinite"),
        (np.zeros(0, dtype=np.float32), "holds 0 ms"),
        ((ONE, "24000"), r"tuple of \(ndarray, str\); give \(samples, rate\)"),
        ((24_000, ONE), r"tuple of \(int, ndarray\)"),
        ((ONE, True), "give"),
        ((ONE, 24_000.5), "give"),
        ((ONE, float("nan")), "give"),
        ((ONE,), "give"),
        ((), "give"),
        ((ONE, 0), "sample rate is 0 Hz"),
        ((ONE, -24_000), "sample rate is -24000 Hz"),
        ((ONE, 10**12), "sample rate is 1000000000000 Hz"),
    ],
)
def test_arrays_that_are_refused(config: AudioConfig, wrong: Any, complaint: str) -> None:
    with pytest.raises(MimoEdgeError, match=complaint):
        read_audio(wrong, config)


def test_a_silent_array(model: MimoAudio) -> None:
    with pytest.raises(MimoEdgeError, match="silent"):
        model.transcribe(np.zeros(RATE, dtype=np.float32))
