"""Log-mel of sound that is there as a whole; `mel_stream` is for sound that still comes."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from ..bundle.manifest import AudioConfig
from ..system.products import product_in_this_thread

__all__ = ["MEL_BLOCK", "log_mel", "mel_filters", "mel_frames"]

MEL_BLOCK = 16
"""Mel frames (160 ms) that are computed at once."""

_LOG_FLOOR = 1e-7


@functools.lru_cache(maxsize=4)
def mel_filters(config: AudioConfig) -> NDArray[np.float32]:
    """Triangular filters on the HTK mel scale, not normalized: [n_fft/2 + 1, n_mels]."""
    bins = np.linspace(0, config.sample_rate / 2, config.n_fft // 2 + 1)
    low, high = (2595 * np.log10(1 + f / 700) for f in (config.f_min, config.f_max))
    centres = 700 * (10 ** (np.linspace(low, high, config.n_mels + 2) / 2595) - 1)
    # Each triangle rises from the centre before its own and falls to the one behind.
    widths = np.diff(centres)
    slopes = centres[None, :] - bins[:, None]
    rising = -slopes[:, :-2] / widths[:-1]
    falling = slopes[:, 2:] / widths[1:]
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


def log_mel(samples: NDArray[np.float32], config: AudioConfig) -> NDArray[np.float32]:
    """Natural logarithm of mel magnitudes: float32 [1 + samples // hop_length, n_mels].

    Report, section 2; torchaudio's MelSpectrogram with power 1, centred frames with
    reflected edges and a periodic Hann window.
    """
    padded = np.pad(samples, config.n_fft // 2, mode="reflect")
    return mel_frames(padded, 1 + len(samples) // config.hop_length, config)


def mel_frames(padded: NDArray[np.float32], count: int, config: AudioConfig) -> NDArray[np.float32]:
    """The first `count` frames of sound with its edges, float32 [count, n_mels].

    Always `MEL_BLOCK` frames at a time, so that a stream's frames are those of the whole to the
    last bit, however a library transforms several frames together.
    """
    out = np.empty((count, config.n_mels), dtype=np.float32)
    if not count:
        return out
    frames = np.lib.stride_tricks.sliding_window_view(padded, config.n_fft)[:: config.hop_length]
    window, filters = _window(config), _filter_rows(config)
    block = np.zeros((MEL_BLOCK, config.n_fft), dtype=np.float32)
    for first in range(0, count, MEL_BLOCK):
        part = frames[first : min(first + MEL_BLOCK, count)]
        np.multiply(part, window, out=block[: len(part)])
        magnitude = np.abs(np.fft.rfft(block, axis=1)).astype(np.float32)
        mel = np.log(np.maximum(product_in_this_thread(magnitude, filters), _LOG_FLOOR))
        out[first : first + len(part)] = mel[: len(part)]
    return out


@functools.lru_cache(maxsize=4)
def _filter_rows(config: AudioConfig) -> NDArray[np.float32]:
    """The filters one after the other in memory: [n_mels, n_fft/2 + 1]."""
    return np.ascontiguousarray(mel_filters(config).T)


@functools.lru_cache(maxsize=4)
def _window(config: AudioConfig) -> NDArray[np.float32]:
    """Periodic Hann window in the middle of a frame: [n_fft]."""
    window = np.zeros(config.n_fft, dtype=np.float32)
    start = (config.n_fft - config.window_size) // 2
    window[start : start + config.window_size] = np.hanning(config.window_size + 1)[:-1]
    return window
