"""Attention of the patch decoder: few steps, each over those before, in a cache of fixed size.

Rotation, the cache and the attention itself are one operator (`GroupQueryAttention`). It writes
the new keys and values into the arrays that hold the old ones if a caller gives the same arrays
as inputs and outputs; spelled out, as many small operators moved the whole cache in every step.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from .graph_builder import MICROSOFT, GraphBuilder

__all__ = ["StepAttention"]

_UNIT = 16
"""The operator rotates heads whose width is a multiple of this; others get zeros beside them."""


class StepAttention:
    """Declares the inputs for the cache, and the outputs once all layers are laid out."""

    def __init__(
        self, graph: GraphBuilder, *, heads: int, head_dim: int, most_steps: int, theta: float
    ) -> None:
        """`most_steps` is what a cache has room for, `theta` the base of the rotation."""
        self._graph, self._heads, self._head_dim = graph, heads, head_dim
        # A head is two halves, of which one is rotated into the other: each grows by itself.
        self._half = math.ceil(head_dim / _UNIT) * _UNIT // 2
        self._last = graph.input("last_step", "int32", ["batch"])
        self._steps = graph.input("steps", "int32", [])
        angles = _angles(most_steps, head_dim, theta)
        grown = np.pad(angles, ((0, 0), (0, self._half - angles.shape[1])))
        self._cos = graph.constant(np.cos(grown))
        self._sin = graph.constant(np.sin(grown))
        self._shape: list[int | str] = ["batch", heads, most_steps, 2 * self._half]
        self._present: list[tuple[str, ir.Value]] = []

    def attend(self, layer: int, qkv: ir.Value) -> ir.Value:
        """[batch, positions, 3·width], queries, keys and values side by side → [batch, positions,
        width]."""
        graph = self._graph
        out, key, value = graph.ops(
            "GroupQueryAttention",
            self._grow(qkv),
            None,
            None,
            *(graph.input(f"past_{part}_{layer}", "float", self._shape) for part in _PARTS),
            self._last,
            self._steps,
            self._cos,
            self._sin,
            outputs=3,
            domain=MICROSOFT,
            num_heads=self._heads,
            kv_num_heads=self._heads,
            do_rotary=1,
            scale=1 / math.sqrt(self._head_dim),
        )
        self._present += zip(
            (f"present_{part}_{layer}" for part in _PARTS), (key, value), strict=True
        )
        return self._shrink(out)

    def declare_outputs(self) -> None:
        """The caches of all layers as outputs of the graph."""
        for name, value in self._present:
            self._graph.output(value, name, "float", self._shape)

    def _grow(self, qkv: ir.Value) -> ir.Value:
        """Zeros beside the halves of every head, which change neither products nor sums."""
        missing = self._half - self._head_dim // 2
        if not missing:
            return qkv
        graph = self._graph
        halves = graph.reshape(qkv, [0, 0, 6 * self._heads, self._head_dim // 2])
        pads = graph.constant([0, missing])
        halves = graph.op("Pad", halves, pads, None, graph.constant([3]))
        return graph.reshape(halves, [0, 0, 6 * self._heads * self._half])

    def _shrink(self, out: ir.Value) -> ir.Value:
        if self._half == self._head_dim // 2:
            return out
        halves = self._graph.reshape(out, [0, 0, 2 * self._heads, self._half])
        halves = self._graph.slice(halves, 0, self._head_dim // 2, axis=3)
        return self._graph.reshape(halves, [0, 0, self._heads * self._head_dim])


_PARTS = ("key", "value")


def _angles(steps: int, head_dim: int, theta: float) -> NDArray[np.float32]:
    """By how much each step turns each pair of a head: [steps, head_dim / 2]."""
    exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    inverse = (1.0 / np.float32(theta) ** exponents).astype(np.float32)
    return np.asarray(np.arange(steps, dtype=np.float32)[:, None] * inverse)
