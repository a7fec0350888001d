"""The pitch of a voice, which tells flite's rms (a man) from its slt (a woman)."""

from __future__ import annotations

import numpy as np


def median_pitch(wave: np.ndarray, rate: int) -> float:
    """Median fundamental frequency of the voiced frames in hertz, 0 if there are none."""
    size, found = int(0.04 * rate), []
    low, high = rate // 300, rate // 70
    for start in range(0, len(wave) - size, size // 2):
        frame = wave[start : start + size] * np.hanning(size)
        correlation = np.fft.irfft(np.abs(np.fft.rfft(frame, 2 * size)) ** 2)
        lag = low + int(correlation[low:high].argmax())
        if correlation[0] > 1e-3 * size and correlation[lag] > 0.4 * correlation[0]:
            found.append(rate / lag)
    return float(np.median(found)) if found else 0.0
