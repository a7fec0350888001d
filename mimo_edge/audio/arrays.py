"""Samples that a program has already: arrays of any sensible type, with or without a rate."""

from __future__ import annotations

import numbers
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInputError
from .decoding import BLOCK_S, Decoded

__all__ = ["array_name", "from_array", "is_array"]

_MOST_CHANNELS = 64
_INTEGERS = {
    "int8": (0, 1 << 7),
    "uint8": (1 << 7, 1 << 7),
    "int16": (0, 1 << 15),
    "uint16": (1 << 15, 1 << 15),
    "int32": (0, 1 << 31),
}
"""(what stands for silence, full scale) as WAV files and sound libraries mean them."""


def is_array(source: object) -> bool:
    """Whether this is meant as samples: an array, what becomes one, or (samples, rate)."""
    return isinstance(source, tuple) or hasattr(source, "__array__")


def array_name() -> str:
    """What messages call samples that a program gave."""
    return "the audio array"


def from_array(source: Any, rate: int) -> Decoded:
    """Samples [n] or [n, channels], of `rate` Hz unless they come as (samples, rate).

    Raises:
        MimoEdgeError: another shape or type, or a rate that is no number of Hz.
    """
    if isinstance(source, tuple):
        source, rate = _pair(source)
    samples = np.asarray(source)
    if samples.ndim == 1:
        samples = samples[:, None]
    if samples.ndim != 2 or not 1 <= samples.shape[1] <= _MOST_CHANNELS:
        shape = np.shape(source)
        hint = " (turn it over with .T)" if len(shape) == 2 and shape[0] <= _MOST_CHANNELS else ""
        raise BadInputError(
            f"the audio array has shape {shape}; give [samples] or [samples, channels]{hint}."
        )
    kind = samples.dtype
    if kind.kind != "f" and kind.name not in _INTEGERS:
        raise BadInputError(
            f"the audio array is of {kind.name}, whose full scale is not known; give floats "
            f"within ±1 or {', '.join(_INTEGERS)}."
        )
    return Decoded(rate, samples.shape[1], len(samples), _blocks(samples, rate))


def _pair(source: tuple[Any, ...]) -> tuple[Any, int]:
    """(samples, rate), checked."""
    if len(source) == 2 and hasattr(source[0], "__array__"):
        rate = source[1]
        whole = isinstance(rate, numbers.Real) and not isinstance(rate, bool)
        if whole and np.isfinite(rate) and float(rate).is_integer():
            return source[0], int(rate)
    shown = ", ".join(type(item).__name__ for item in source)
    raise BadInputError(
        f"the audio is a tuple of ({shown}); give (samples, rate): an array and its rate in Hz."
    )


def _blocks(samples: NDArray[Any], rate: int) -> Iterator[NDArray[np.float32]]:
    zero, scale = _INTEGERS.get(samples.dtype.name, (0, 1))
    size = max(1, round(BLOCK_S * rate))
    for start in range(0, len(samples), size):
        block = samples[start : start + size]
        if scale == 1:
            yield block.astype(np.float32, copy=False)
        else:
            yield ((block.astype(np.float64) - zero) / scale).astype(np.float32)
