"""Rounding of one weight matrix to a few bits, so that its products change least.

GPTQ (Frantar et al. 2022): columns are rounded one after the other, and what is lost by one is
made up for by those that follow, as far as their inputs go together. How far they do says the
Hessian H = XᵀX of inputs X [rows, in] that the matrix really gets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..graphs.blocks import Layout, Packed, pack, quantize_blocks

__all__ = ["round_matrix", "with_ridge"]

Matrix = NDArray[np.float32]

_DAMPING = 0.2
"""Share of the mean of H's diagonal that is added to it. The 0.01 of the paper believes every
chance of the inputs: with twice as many rows as inputs the codes of the demo model then diverge by
0.12 instead of 0.10; with forty times as many, both lose the same."""
_SHRINKING = np.linspace(1.0, 0.55, 16, dtype=np.float32)
"""Ranges of a block that are tried, as shares of the range that its weights have: a few weights
cut off are often worth finer steps for all others."""
_LEAST_SCALE = np.float32(1e-12)
"""Of a block whose weights are all zero."""


def round_matrix(weight: Matrix, hessian: Matrix, layout: Layout) -> tuple[Packed, Matrix]:
    """Round float32 [out, in] for inputs with this Hessian [in, in].

    Returns:
        The matrix as the operator takes it, and the values that it then has, [out, in].
    """
    if not layout.has_zeros:  # 8 bits: there is nothing to gain
        return quantize_blocks(weight, layout), weight
    columns = weight.shape[1]
    padding = -columns % layout.block
    # Inputs beside the row are zero. They get a curvature of one, and stand for themselves.
    padded = np.eye(columns + padding, dtype=np.float32)
    padded[:columns, :columns] = with_ridge(hessian, _DAMPING)
    work = np.pad(weight, ((0, 0), (0, padding))).T.astype(np.float32)
    levels, scales, zeros, values = _round_columns(np.ascontiguousarray(work), padded, layout)
    out = len(weight)
    blocks = levels.T.reshape(out, -1, layout.block)
    packed = pack(blocks, np.ascontiguousarray(scales.T), zeros.T.astype(np.uint8), layout)
    return packed, np.ascontiguousarray(values.T[:, :columns])


def with_ridge(hessian: Matrix, ridge: float) -> Matrix:
    """The Hessian with a mean diagonal of one, and so much added to its diagonal."""
    mean = float(np.diag(hessian).mean()) or 1.0
    result = hessian / np.float32(mean)
    result[np.diag_indices_from(result)] += ridge
    return result


def _round_columns(
    work: Matrix, hessian: Matrix, layout: Layout
) -> tuple[NDArray[np.uint8], Matrix, Matrix, Matrix]:
    """Round `work` [in, out] from the first input to the last; `work` is used up.

    Returns:
        Levels [in, out]; scales and zeros [blocks, out]; the values that the levels stand for.
    """
    # Row i of the upper factor of H⁻¹ says how the later columns make up for an error in column i.
    upper = np.linalg.cholesky(np.linalg.inv(hessian.astype(np.float64))).T.astype(np.float32)
    # What an error in a column costs once the later ones made up for it.
    cost = (1 / np.diag(upper) ** 2).astype(np.float32)
    top = (1 << layout.bits) - 1
    levels = np.empty(work.shape, dtype=np.uint8)
    values = np.empty_like(work)
    scales = np.empty((len(work) // layout.block, work.shape[1]), dtype=np.float32)
    zeros = np.empty_like(scales)
    for number, start in enumerate(range(0, len(work), layout.block)):
        end = start + layout.block
        scale, zero = _best_grid(work[start:end], cost[start:end], top)
        scales[number], zeros[number] = scale, zero
        errors = np.empty_like(work[start:end])
        for column in range(start, end):
            level = np.clip(np.rint(work[column] / scale) + zero, 0, top)
            levels[column] = level
            values[column] = (level - zero) * scale
            error = (work[column] - values[column]) / upper[column, column]
            errors[column - start] = error
            work[column + 1 : end] -= upper[column, column + 1 : end, None] * error
        # What this block lost, all of it at once: one product instead of one for every column.
        work[end:] -= upper[start:end, end:].T @ errors
    return levels, scales, zeros, values


def _best_grid(weights: Matrix, cost: Matrix, top: int) -> tuple[Matrix, Matrix]:
    """Scale and zero [out] of a block [block, out]: of several ranges, the one that loses least."""
    low, high = np.minimum(weights.min(axis=0), 0), np.maximum(weights.max(axis=0), 0)
    best = np.full(low.shape, np.inf, dtype=np.float32)
    scale, zero = np.empty_like(best), np.empty_like(best)
    for share in _SHRINKING:
        step = np.maximum((high - low) * share / top, _LEAST_SCALE)
        middle = np.clip(np.rint(-low * share / step), 0, top)
        rounded = (np.clip(np.rint(weights / step) + middle, 0, top) - middle) * step
        loss = cost @ (weights - rounded) ** 2
        better = loss < best
        best, scale, zero = (
            np.where(better, new, old) for new, old in ((loss, best), (step, scale), (middle, zero))
        )
    return scale, zero
