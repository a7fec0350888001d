"""How loud the microphone is, as often as an eye can follow."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .events import Level

__all__ = ["LevelMeter"]

_EVERY_S = 0.1
_QUIETEST_DBFS = -90.0
"""About the smallest step of 16 bits; digital silence has no level in decibels."""


class LevelMeter:
    """Tells the level of a microphone's block ten times a second."""

    def __init__(self, began: float) -> None:
        """Count time from `began`, in seconds of the clock that `feed` gets."""
        self._told_at = began

    def feed(self, block: NDArray[np.float32], now: float) -> Level | None:
        """The level of float32 [n], whose last sample came at `now`; None: not again so soon."""
        if now - self._told_at < _EVERY_S or not len(block):
            return None
        self._told_at = now
        power = float(np.mean(np.square(block, dtype=np.float64)))
        return Level(dbfs=max(_QUIETEST_DBFS, 10 * math.log10(power)) if power else _QUIETEST_DBFS)
