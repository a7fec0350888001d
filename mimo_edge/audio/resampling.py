"""Change of the sample rate."""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray

__all__ = ["resample"]


def resample(samples: NDArray[np.float32], rate: int, target_rate: int) -> NDArray[np.float32]:
    """Samples float32 [n] of `rate` Hz → float32 [m] of `target_rate` Hz.

    Nothing is copied if the two rates are equal.
    """
    if rate == target_rate or not len(samples):
        return samples
    return np.asarray(soxr.resample(samples, rate, target_rate), dtype=np.float32)
