"""The number types of a checkpoint's weights, and whether their values are numbers at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mimo_edge.errors import BadBundleError

__all__ = ["FLOAT_TYPES", "check_finite", "to_float32"]

FLOAT_TYPES: Mapping[str, np.dtype[Any]] = {
    "BF16": np.dtype("<u2"),  # numpy has no bfloat16: the bits
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
}
"""safetensors' name → the numpy dtype that the weights are mapped as."""

_PIECE = 1 << 20
"""Values looked at in one go: 2 to 4 MiB, whatever the tensor's size."""
_INFINITY = {np.dtype("<u2"): 0x7F80, np.dtype("<f2"): 0x7C00}
"""Bits of infinity in bfloat16 and float16: no magnitude from there on is a number."""


def to_float32(raw: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """A float32 copy of weights of any of `FLOAT_TYPES` (uint16 means bfloat16)."""
    if raw.dtype == np.uint16:
        wide = np.asarray(raw).astype(np.uint32)
        wide <<= 16  # bfloat16 is the upper half of a float32
        return wide.view(np.float32)
    return np.array(raw, dtype=np.float32, subok=False)


def check_finite(raw: npt.NDArray[Any], what: str) -> None:
    """Raise MimoEdgeError, naming `what`, if a value of `raw` is NaN or infinite.

    As fast as memory and without a second copy: of 16-bit numbers only the bits are compared.
    """
    flat = np.asarray(raw).reshape(-1)
    for start in range(0, flat.size, _PIECE):
        piece = flat[start : start + _PIECE]
        if not _is_finite(piece):
            raise BadBundleError(
                f"{what} holds values that are not numbers (NaN or infinite): the weights are "
                "damaged, download the checkpoint again."
            )


def _is_finite(piece: npt.NDArray[Any]) -> bool:
    infinity = _INFINITY.get(piece.dtype)
    if infinity is None:
        return bool(np.isfinite(piece).all())
    return int((piece.view(np.uint16) & 0x7FFF).max()) < infinity
