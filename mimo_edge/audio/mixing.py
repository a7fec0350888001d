"""Several channels become one, and what is said in them survives it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Mixer"]

_MEMORY_S = 0.2
"""How long the channels' likeness is remembered: for a syllable, since talkers may differ."""
_CANCELS = 0.1
"""Of the energy that the mean of unrelated channels would have. With less, the channels cancel
each other: two of equal loudness do from a correlation of -0.9 on."""
_FADE_S = 0.01
"""A channel that is turned over is faded, so that it does not click."""


class Mixer:
    """The mean of the channels; those in opposite phase to the strongest are turned over first.

    A microphone with one wire swapped, a balanced line on a stereo plug or an effect that makes
    sound "wider" puts the same speech into two channels with opposite signs, and their plain
    mean is silence. Files, pictures and devices mix with this one rule: as long as the mean
    holds what unrelated channels would leave in it, it is the mean and nothing else. Stateful
    and causal: feed the blocks of one recording or device in their order.
    """

    def __init__(self, channels: int, rate: int) -> None:
        """Mix sound of so many channels and `rate` Hz."""
        self._rate = rate
        self._signs = np.ones(channels, dtype=np.float32)
        self._likeness = np.zeros((channels, channels))
        """Decaying sums of products of every two channels."""

    def mix(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Samples float32 [n, channels], best 10 to 500 ms of them → mono float32 [n]."""
        if block.shape[1] == 1:
            return np.ascontiguousarray(block[:, 0])
        if not len(block):
            return np.zeros(0, dtype=np.float32)
        before, first = self._signs, not self._likeness.any()
        self._learn(block)
        if first or np.array_equal(before, self._signs):
            return self._mean(block, self._signs)
        fade = min(len(block), max(1, round(_FADE_S * self._rate)))
        share = np.linspace(0, 1, fade, dtype=np.float32)
        mixed = self._mean(block, self._signs)
        mixed[:fade] = share * mixed[:fade] + (1 - share) * self._mean(block[:fade], before)
        return mixed

    @staticmethod
    def _mean(block: NDArray[np.float32], signs: NDArray[np.float32]) -> NDArray[np.float32]:
        turned = block if (signs > 0).all() else block * signs
        mean: NDArray[np.float32] = turned.mean(axis=1, dtype=np.float32)
        return mean

    def _learn(self, block: NDArray[np.float32]) -> None:
        """Bring the signs up to date with these samples."""
        # Without their constant parts, which microphones have of their own. Scaled into
        # float64's middle, since a damaged file may hold anything.
        level = float(np.abs(block).max())
        if not 0 < level < np.inf:
            return
        varying = block.astype(np.float64) - block.mean(axis=0, dtype=np.float64)
        self._likeness *= np.exp(-len(block) / (_MEMORY_S * self._rate))
        self._likeness += varying.T @ varying
        mixed = float(self._signs @ self._likeness @ self._signs)
        if mixed >= _CANCELS * float(np.trace(self._likeness)):
            return
        strongest = np.linalg.eigh(self._likeness)[1][:, -1]
        signs = np.where(strongest < 0, -1, 1).astype(np.float32)
        # Of the two sets of signs that mix alike, the one that turns less of the sound over.
        loudness = np.diag(self._likeness)
        upright = float(loudness @ signs) >= 0
        self._signs = signs if upright else -signs
