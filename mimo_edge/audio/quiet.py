"""Cuts a long recording into parts where it is quiet, so that no word is cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["cut_at_quiet", "split_at_quiet"]

_QUIET_WINDOW_S = 0.2


def split_at_quiet(
    samples: NDArray[np.float32], rate: int, longest_s: float
) -> list[NDArray[np.float32]]:
    """Cut into parts of at most `longest_s` seconds, each at the quietest place before that.

    The place is looked for in the last quarter of a part, among windows of 0.2 s.
    """
    return list(cut_at_quiet([samples], rate, longest_s))


def cut_at_quiet(
    blocks: Iterable[NDArray[np.float32]], rate: int, longest_s: float
) -> Iterator[NDArray[np.float32]]:
    """The parts of `split_at_quiet`, each as soon as the blocks of sound reach behind it."""
    longest = int(longest_s * rate)
    held = np.zeros(0, np.float32)
    for block in blocks:
        held = np.concatenate([held, block]) if len(held) else block
        while len(held) > longest:
            cut = _quietest(held[:longest], rate)
            yield held[:cut]
            held = held[cut:]
    yield held


def _quietest(samples: NDArray[np.float32], rate: int) -> int:
    window = max(1, int(_QUIET_WINDOW_S * rate))
    first = len(samples) * 3 // 4
    tail = samples[first:].astype(np.float64) ** 2
    energy = np.convolve(tail, np.ones(window), mode="valid")
    return first + int(energy.argmin()) + window // 2
