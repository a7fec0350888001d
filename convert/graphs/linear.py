"""Linear layers at the precisions of a recipe.

`Linear` weights are stored upstream as [out, in]. One call may join several of
them side by side (q, k and v of an attention), so that they run as one product.

precision   weights                        activations          operator
fp32        float32                        float32              MatMul
int8        8 bits per output channel      8 bits per tensor    DynamicQuantizeMatMul
w8          8 bits per block of 128        float32 *            MatMulNBits
w4          4 bits per block of 32         float32 *            MatMulNBits

* quantized to 8 bits per block inside the kernel where that is faster.

`int8` rounds the activations of all rows of a call with one scale, so that a row's result
depends a little on the rows beside it; everywhere else each row is computed by itself.

For every block the kernel reads a scale and an offset, 64 bits: in blocks of 32, 8 bits
become 10 per weight, in blocks of 128 they become 8.5, and sums are interrupted less often.
At 4 bits the error counts for more. Rows that 128 does not divide have blocks of 64 or 32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol, get_args

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from .graph_builder import MICROSOFT, GraphBuilder

__all__ = ["PRECISIONS", "Precision", "Weights", "block_length", "linear", "quantize_blocks"]

Precision = Literal["fp32", "int8", "w8", "w4"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

_BLOCKS = {8: (128, 64, 32), 4: (32,)}
"""Lengths of a block by bits per weight, the best first."""

_ACCURACY_INT8 = 4
"""MatMulNBits `accuracy_level`: activations as int8 blocks, the fast CPU kernels."""


class Weights(Protocol):
    """Where the tensors come from: a checkpoint."""

    def array(self, name: str) -> NDArray[np.float32]:
        """A tensor as float32, by its upstream name."""

    def shape(self, name: str) -> tuple[int, ...]:
        """Its shape, without reading it."""


def linear(
    graph: GraphBuilder,
    weights: Weights,
    x: ir.Value,
    names: Sequence[str],
    precision: Precision,
    biases: Sequence[str | None] = (),
) -> ir.Value:
    """`x` [..., in] times the weights `names` ([out_i, in] each), side by side: [..., sum(out)].

    `biases` has one entry per weight; None stands for a weight without a bias.
    """
    shapes = [weights.shape(name) for name in names]
    rows, columns = sum(shape[0] for shape in shapes), shapes[0][1]
    label = names[0] if len(names) == 1 else f"{names[0]}+{len(names) - 1}"

    def load() -> NDArray[np.float32]:
        return np.concatenate([weights.array(name) for name in names])

    bias = None
    if any(biases):
        sizes = [shape[0] for shape in shapes]
        bias = graph.weight(
            f"{label}.bias", "float", [rows], lambda: _join_biases(weights, biases, sizes)
        )
    if precision == "fp32":
        y = graph.op("MatMul", x, graph.weight(label, "float", [columns, rows], lambda: load().T))
    elif precision == "int8":
        quantized = _Quantized(lambda: quantize_columns(load()))
        return graph.op(
            "DynamicQuantizeMatMul",
            x,
            graph.weight(f"{label}.q", "uint8", [columns, rows], quantized.weights),
            graph.weight(f"{label}.scale", "float", [rows], quantized.scales),
            graph.weight(
                f"{label}.zero", "uint8", [rows], lambda: np.full(rows, 128, dtype=np.uint8)
            ),
            bias,
            domain=MICROSOFT,
        )
    else:
        bits = 4 if precision == "w4" else 8
        block = block_length(columns, bits)
        blocks = -(-columns // block)
        quantized = _Quantized(lambda: quantize_blocks(load(), bits, block))
        y = graph.op(
            "MatMulNBits",
            x,
            graph.weight(
                f"{label}.q{bits}", "uint8", [rows, blocks, block * bits // 8], quantized.weights
            ),
            graph.weight(f"{label}.scale", "float", [rows * blocks], quantized.scales),
            domain=MICROSOFT,
            K=columns,
            N=rows,
            bits=bits,
            block_size=block,
            accuracy_level=_ACCURACY_INT8,
        )
    return y if bias is None else graph.op("Add", y, bias)


class _Quantized:
    """The weights of one layer and their scales, which are made together and written in turn.

    Nothing is kept but the scales, a small part, from the writing of the weights to their own.
    """

    def __init__(self, make: Callable[[], tuple[NDArray[np.uint8], NDArray[np.float32]]]) -> None:
        self._make = make
        self._scales: NDArray[np.float32] | None = None

    def weights(self) -> NDArray[np.uint8]:
        weights, self._scales = self._make()
        return weights

    def scales(self) -> NDArray[np.float32]:
        scales, self._scales = self._scales, None
        return self._make()[1] if scales is None else scales


def quantize_columns(weight: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """[out, in] → uint8 [in, out] with zero point 128, and a scale per output.

    Unsigned because signed weights saturate in the 16-bit sums of processors
    with AVX2 but without VNNI.
    """
    scale = np.maximum(np.abs(weight).max(axis=1), 1e-30) / 127
    quantized = np.rint(weight / scale[:, None]).astype(np.int16) + 128
    return quantized.astype(np.uint8).T, scale.astype(np.float32)


def block_length(columns: int, bits: int) -> int:
    """Weights of a row of `columns` that share a scale: as many as fit without padding."""
    lengths = _BLOCKS[bits]
    return next((length for length in lengths if columns % length == 0), lengths[-1])


def quantize_blocks(
    weight: NDArray[np.float32], bits: int, block: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """[out, in] → packed blocks uint8 [out, blocks, block·bits/8] and scales [out·blocks].

    Symmetric around the operator's default zero point (8 or 128); the scale keeps
    the sign of the block's largest weight, which then uses the one extra negative
    step. Rows are padded with zeros to whole blocks.
    """
    rows, columns = weight.shape
    padded = np.pad(weight, ((0, 0), (0, -columns % block))).reshape(rows, -1, block)
    peak_at = np.abs(padded).argmax(axis=2, keepdims=True)
    peak = np.take_along_axis(padded, peak_at, axis=2)
    middle = 1 << (bits - 1)
    scale = peak / -middle
    inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale != 0)
    quantized = np.clip(np.rint(padded * inverse) + middle, 0, 2 * middle - 1).astype(np.uint8)
    if bits == 4:
        quantized = quantized[..., 0::2] | (quantized[..., 1::2] << 4)
    return quantized, scale.astype(np.float32).reshape(-1)


def _join_biases(
    weights: Weights, biases: Sequence[str | None], sizes: Sequence[int]
) -> NDArray[np.float32]:
    parts = [
        weights.array(bias) if bias else np.zeros(size, dtype=np.float32)
        for bias, size in zip(biases, sizes, strict=True)
    ]
    return np.concatenate(parts)
