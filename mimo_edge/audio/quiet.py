"""Cuts a long recording into parts where it is quiet, so that no word is cut."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["split_at_quiet"]

_QUIET_WINDOW_S = 0.2


def split_at_quiet(
    samples: NDArray[np.float32], rate: int, longest_s: float
) -> list[NDArray[np.float32]]:
    """Cut into parts of at most `longest_s` seconds, each at the quietest place before that.

    The place is looked for in the last quarter of a part, among windows of 0.2 s.
    """
    longest, window = int(longest_s * rate), max(1, int(_QUIET_WINDOW_S * rate))
    parts = []
    while len(samples) > longest:
        first = longest * 3 // 4
        tail = samples[first:longest].astype(np.float64) ** 2
        energy = np.convolve(tail, np.ones(window), mode="valid")
        cut = first + int(energy.argmin()) + window // 2
        parts.append(samples[:cut])
        samples = samples[cut:]
    return [*parts, samples]
