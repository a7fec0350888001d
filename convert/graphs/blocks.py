"""Matrices of few bits as the operator MatMulNBits takes them: blocks that share a scale.

A weight is (level - zero) · scale. For every block the kernel reads a scale and an offset, 64
bits: in blocks of 32, 8 bits become 10 per weight, in blocks of 128 they become 8.5, and sums are
interrupted less often; the audio encoder has blocks of 256, for its speed. Rows that these do
not divide have blocks of 64 or 32.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Layout", "Packed", "block_length", "layout_of", "pack", "quantize_blocks"]

_LONG, _SHORT = (128, 64, 32), (32,)
"""Lengths of a block, the best first."""
_LONGEST, _MANY_ROWS = (256, *_LONG), "encoder.layers."
"""The audio encoder multiplies hundreds of positions at once: its time is not that of reading but
of computing, which every end of a block interrupts."""
_SENSITIVE = ".o_proj.weight"
"""Of all matrices of the patch decoder, those that lose most by 4 bits for their size (a sixth of
the loss with a sixteenth of the weights): 8 bits are well spent on them."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the rows of a matrix are cut and stored."""

    bits: int
    block: int
    """Weights that share a scale."""
    has_zeros: bool = False
    """Whether each block has a zero of its own; else it is the middle level, 8 or 128."""

    def blocks(self, columns: int) -> int:
        """Blocks of a row."""
        return -(-columns // self.block)

    def zero_bytes(self, columns: int) -> int:
        """Bytes of the zeros of a row."""
        return -(-self.blocks(columns) * self.bits // 8)


@dataclass(frozen=True, kw_only=True, eq=False)
class Packed:
    """A matrix as the operator takes it."""

    quantized: NDArray[np.uint8]
    """[out, blocks, block · bits / 8]."""
    scales: NDArray[np.float32]
    """[out · blocks]."""
    zeros: NDArray[np.uint8] | None = None
    """[out · bytes of a row], two zeros of 4 bits to a byte."""


def layout_of(precision: str, name: str, columns: int) -> Layout:
    """Layout of a matrix in one of the precisions w8, w4, w4c; `name` is its tensor's."""
    if precision == "w4c" and not name.endswith(_SENSITIVE):
        return Layout(bits=4, block=_longest(_LONG, columns), has_zeros=True)
    if precision == "w8" and name.startswith(_MANY_ROWS):
        return Layout(bits=8, block=_longest(_LONGEST, columns))
    bits = 4 if precision == "w4" else 8
    return Layout(bits=bits, block=block_length(columns, bits))


def block_length(columns: int, bits: int) -> int:
    """Weights of a row of `columns` that share a scale: as many as fit without padding.

    Weights of 4 bits that nothing calibrates have short blocks, because their error counts more.
    """
    return _longest(_LONG if bits == 8 else _SHORT, columns)


def _longest(lengths: tuple[int, ...], columns: int) -> int:
    return next((length for length in lengths if columns % length == 0), lengths[-1])


def pack(
    levels: NDArray[np.uint8],
    scales: NDArray[np.float32],
    zeros: NDArray[np.uint8] | None,
    layout: Layout,
) -> Packed:
    """Levels [out, blocks, block], scales and zeros [out, blocks], in the operator's order."""
    if layout.bits == 4:
        levels = _in_pairs(levels)
        if zeros is not None:  # of every row, whole bytes
            zeros = _in_pairs(np.pad(zeros, ((0, 0), (0, zeros.shape[1] % 2))))
    return Packed(
        quantized=np.ascontiguousarray(levels),
        scales=scales.astype(np.float32).reshape(-1),
        zeros=None if zeros is None else zeros.reshape(-1),
    )


def _in_pairs(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Two values of 4 bits to a byte, the first one in the lower half."""
    pairs: NDArray[np.uint8] = values[..., 0::2] | (values[..., 1::2] << np.uint8(4))
    return pairs


def quantize_blocks(weight: NDArray[np.float32], layout: Layout) -> Packed:
    """[out, in], rounded to the nearest level of a grid that spans each block.

    Without zeros the grid lies symmetrically around the middle level; the scale keeps the sign of
    the block's largest weight, which then uses the one extra negative step. Rows are padded with
    zeros to whole blocks.
    """
    rows, columns = weight.shape
    padded = np.pad(weight, ((0, 0), (0, -columns % layout.block)))
    padded = padded.reshape(rows, -1, layout.block)
    top = (1 << layout.bits) - 1
    if layout.has_zeros:
        low = np.minimum(padded.min(axis=2, keepdims=True), 0)
        scale = (np.maximum(padded.max(axis=2, keepdims=True), 0) - low) / top
        inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale != 0)
        zero = np.rint(-low * inverse)
    else:
        peak_at = np.abs(padded).argmax(axis=2, keepdims=True)
        zero = np.float32(1 << (layout.bits - 1))
        scale = np.take_along_axis(padded, peak_at, axis=2) / -zero
        inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale != 0)
    levels = np.clip(np.rint(padded * inverse) + zero, 0, top).astype(np.uint8)
    zeros = zero[..., 0].astype(np.uint8) if layout.has_zeros else None
    return pack(levels, scale[..., 0], zeros, layout)
