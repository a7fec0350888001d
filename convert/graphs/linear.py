"""Linear layers at the precisions of a recipe.

`Linear` weights are stored upstream as [out, in]. One call may join several of
them side by side (q, k and v of an attention), so that they run as one product.

precision   weights                        activations          operator
fp32        float32                        float32              MatMul
int8        8 bits per output channel      8 bits per tensor    DynamicQuantizeMatMul
w8          8 bits per block of 128 or 256 float32 *            MatMulNBits
w4          4 bits per block of 32         float32 *            MatMulNBits
w4c         4 bits per block of 128,       float32 *            MatMulNBits
            sensitive matrices 8; rounded
            as `convert.calibration` says

* quantized to 8 bits per block inside the kernel where that is faster.

`int8` rounds the activations of all rows of a call with one scale, so that a row's result
depends a little on the rows beside it; everywhere else each row is computed by itself.

How blocks are cut and laid out is in `blocks`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol, get_args

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from .blocks import Layout, Packed, layout_of, quantize_blocks
from .graph_builder import MICROSOFT, GraphBuilder

__all__ = ["PRECISIONS", "CalibratedWeights", "Precision", "Weights", "linear"]

Precision = Literal["fp32", "int8", "w8", "w4", "w4c"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

_ACCURACY_INT8 = 4
"""MatMulNBits `accuracy_level`: activations as int8 blocks, the fast CPU kernels."""


class Weights(Protocol):
    """Where the tensors come from: a checkpoint."""

    def array(self, name: str) -> NDArray[np.float32]:
        """A tensor as float32, by its upstream name."""

    def shape(self, name: str) -> tuple[int, ...]:
        """Its shape, without reading it."""


class CalibratedWeights:
    """Weights of which some matrices were rounded already, as speech needs them."""

    def __init__(self, weights: Weights, rounded: Mapping[str, Packed]) -> None:
        """`rounded` has matrices by their tensors' names."""
        self._weights = weights
        self.rounded = rounded

    def array(self, name: str) -> NDArray[np.float32]:
        """A tensor as it is in the checkpoint."""
        return self._weights.array(name)

    def shape(self, name: str) -> tuple[int, ...]:
        """Its shape."""
        return self._weights.shape(name)


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
        quantized = _InTurn(lambda: (*quantize_columns(load()), None))
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
        layout = layout_of(precision, names[0], columns)
        y = _product_of_blocks(graph, weights, x, names, label, (rows, columns), layout)
    return y if bias is None else graph.op("Add", y, bias)


def _product_of_blocks(
    graph: GraphBuilder,
    weights: Weights,
    x: ir.Value,
    names: Sequence[str],
    label: str,
    shape: tuple[int, int],
    layout: Layout,
) -> ir.Value:
    """`x` times weights of few bits."""
    rows, columns = shape
    blocks, bits, block = layout.blocks(columns), layout.bits, layout.block
    parts = _InTurn(lambda: _join_packed([_packed(weights, name, layout) for name in names]))
    quantized = graph.weight(
        f"{label}.q{bits}", "uint8", [rows, blocks, block * bits // 8], parts.weights
    )
    scales = graph.weight(f"{label}.scale", "float", [rows * blocks], parts.scales)
    zeros = []
    if layout.has_zeros:
        size = rows * layout.zero_bytes(columns)
        zeros = [graph.weight(f"{label}.zero", "uint8", [size], parts.zeros)]
    return graph.op(
        "MatMulNBits",
        x,
        quantized,
        scales,
        *zeros,
        domain=MICROSOFT,
        K=columns,
        N=rows,
        bits=bits,
        block_size=block,
        accuracy_level=_ACCURACY_INT8,
    )


def _packed(weights: Weights, name: str, layout: Layout) -> Packed:
    """A matrix as it was rounded by calibration, else to the nearest."""
    rounded = weights.rounded.get(name) if isinstance(weights, CalibratedWeights) else None
    return rounded or quantize_blocks(weights.array(name), layout)


_Parts = tuple[NDArray[np.uint8], NDArray[np.float32], "NDArray[np.uint8] | None"]
"""Weights, scales and, where blocks have them, zeros."""


def _join_packed(matrices: Sequence[Packed]) -> _Parts:
    """Matrices below each other: whatever there is of a row lies together."""
    zeros = [matrix.zeros for matrix in matrices if matrix.zeros is not None]
    return (
        np.concatenate([matrix.quantized for matrix in matrices]),
        np.concatenate([matrix.scales for matrix in matrices]),
        np.concatenate(zeros) if zeros else None,
    )


class _InTurn:
    """The parts of one layer's weights, which are made together and written in turn.

    Nothing is kept but the small ones, scales and zeros, from the writing of the weights to their
    own.
    """

    def __init__(self, make: Callable[[], _Parts]) -> None:
        self._make = make
        self._scales: NDArray[np.float32] | None = None
        self._zeros: NDArray[np.uint8] | None = None

    def weights(self) -> NDArray[np.uint8]:
        weights, self._scales, self._zeros = self._make()
        return weights

    def scales(self) -> NDArray[np.float32]:
        scales, self._scales = self._scales, None
        return self._make()[1] if scales is None else scales

    def zeros(self) -> NDArray[np.uint8]:
        zeros, self._zeros = self._zeros, None
        zeros = self._make()[2] if zeros is None else zeros
        assert zeros is not None
        return zeros


def quantize_columns(weight: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """[out, in] → uint8 [in, out] with zero point 128, and a scale per output.

    Unsigned because signed weights saturate in the 16-bit sums of processors
    with AVX2 but without VNNI.
    """
    scale = np.maximum(np.abs(weight).max(axis=1), 1e-30) / 127
    quantized = np.rint(weight / scale[:, None]).astype(np.int16) + 128
    return quantized.astype(np.uint8).T, scale.astype(np.float32)


def _join_biases(
    weights: Weights, biases: Sequence[str | None], sizes: Sequence[int]
) -> NDArray[np.float32]:
    parts = [
        weights.array(bias) if bias else np.zeros(size, dtype=np.float32)
        for bias, size in zip(biases, sizes, strict=True)
    ]
    return np.concatenate(parts)
