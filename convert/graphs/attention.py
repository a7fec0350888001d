"""Attention as the graphs need it: full, causal with a KV cache, and in a sliding window.

Queries, keys and values are [batch, positions, heads·head_dim] throughout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from ..checkpoints.configs import Window
from .graph_builder import MICROSOFT, GraphBuilder

__all__ = [
    "Rope",
    "cache_window_bias",
    "cached_attention",
    "full_attention",
    "rope_tables",
    "windowed_attention",
]

_BLOCK = 64
"""Queries that share one slice of keys in a sliding window."""

_MASKED = -1e9
"""Added to a score to mask it; finite, so that a row without any key stays finite."""


@dataclass(frozen=True)
class Rope:
    """Cosines and sines [positions, head_dim/2] of the current positions."""

    cos: ir.Value
    sin: ir.Value
    start: ir.Value
    """int64 [1] zero: the tables begin at the first position given."""

    def apply(self, graph: GraphBuilder, x: ir.Value, heads: int) -> ir.Value:
        """Rotate [batch, positions, heads·head_dim], halves as in the reference."""
        return graph.op(
            "RotaryEmbedding",
            x,
            self.start,
            self.cos,
            self.sin,
            domain=MICROSOFT,
            num_heads=heads,
            interleaved=0,
        )


def rope_tables(graph: GraphBuilder, positions: ir.Value, head_dim: int, theta: float) -> Rope:
    """Tables for int64 `positions` [n]; computed in the graph, so there is no longest length."""
    exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    inverse = (1.0 / np.float32(theta) ** exponents).astype(np.float32)
    column = graph.op("Unsqueeze", graph.cast(positions, "float"), graph.constant([1]))
    angles = graph.op("Mul", column, graph.constant(inverse[None, :]))
    return Rope(graph.op("Cos", angles), graph.op("Sin", angles), graph.constant([0]))


def full_attention(
    graph: GraphBuilder, q: ir.Value, k: ir.Value, v: ir.Value, heads: int, *, causal: bool = False
) -> ir.Value:
    """Every position sees all (or, causal, all earlier) positions; no score matrix is kept."""
    return graph.op(
        "MultiHeadAttention",
        q,
        k,
        v,
        domain=MICROSOFT,
        num_heads=heads,
        unidirectional=int(causal),
    )


def cached_attention(
    graph: GraphBuilder,
    qkv: tuple[ir.Value, ir.Value, ir.Value],
    heads: int,
    past: tuple[ir.Value, ir.Value],
    bias: ir.Value | None = None,
) -> tuple[ir.Value, ir.Value, ir.Value]:
    """Causal attention over a cache [batch, heads, past, head_dim]; also the cache grown by this.

    `bias` [1, 1, positions, past + positions] replaces the causal mask, see `cache_window_bias`.
    """
    out, key, value = graph.ops(
        "MultiHeadAttention",
        *qkv,
        None,
        None,
        bias,
        *past,
        outputs=3,
        domain=MICROSOFT,
        num_heads=heads,
        unidirectional=int(bias is None),
    )
    return out, key, value


def cache_window_bias(
    graph: GraphBuilder, positions: ir.Value, past: ir.Value, left: int
) -> ir.Value:
    """Bias for `cached_attention`: causal, and at most `left` positions back.

    `positions` and `past` are int64 [1] counts; the result is [1, 1, positions, past+positions].
    """
    total = graph.op("Add", positions, past)
    query = graph.op(
        "Unsqueeze", graph.op("Add", graph.range(positions), past), graph.constant([1])
    )
    key = graph.op("Unsqueeze", graph.range(total), graph.constant([0]))
    bias = _bias_where_allowed(graph, graph.op("Sub", key, query), (left, 0))
    return graph.op("Unsqueeze", bias, graph.constant([0, 1]))


def windowed_attention(
    graph: GraphBuilder,
    qkv: tuple[ir.Value, ir.Value, ir.Value],
    heads: int,
    head_dim: int,
    window: Window,
) -> ir.Value:
    """Each position sees `window` = (left, right) neighbours; one sequence [1, n, heads·head_dim].

    With both sides finite the work and the memory grow with n and not with n²: queries
    are taken in blocks, and every block gets the slice of keys that it can see.

        keys    ……|--left--|== block of queries ==|--right--|……
    """
    left, right = window
    if left < 0 and right < 0:
        return full_attention(graph, *qkv, heads)
    count = graph.dim(qkv[0], 1)
    if left < 0 or right < 0:
        return _dense_windowed(graph, qkv, heads, window, count)
    blocks = graph.op(
        "Div", graph.op("Add", count, graph.constant([_BLOCK - 1])), graph.constant([_BLOCK])
    )
    tail = graph.op("Sub", graph.op("Mul", blocks, graph.constant([_BLOCK])), count)
    span = left + _BLOCK + right
    # Slot s of block b holds key b·BLOCK + s - left; `slots` counts in the padded keys.
    slots = graph.op(
        "Add",
        graph.op(
            "Unsqueeze",
            graph.op("Mul", graph.range(blocks), graph.constant(_BLOCK)),
            graph.constant([1]),
        ),
        graph.constant(np.arange(span, dtype=np.int64)[None, :]),
    )

    def split(x: ir.Value, length: int) -> ir.Value:
        parts = graph.reshape(x, [-1, length, heads, head_dim])
        return graph.transpose(parts, [0, 2, 1, 3])

    q, k, v = qkv
    nothing = graph.constant([0])
    q = split(_pad_positions(graph, q, nothing, tail), _BLOCK)
    back = graph.op("Add", tail, graph.constant([right]))
    k, v = (
        split(
            graph.op(
                "Gather", _pad_positions(graph, x, graph.constant([left]), back), slots, axis=1
            ),
            span,
        )
        for x in (k, v)
    )
    scores = graph.op("MatMul", q, graph.transpose(k, [0, 1, 3, 2]))
    scores = graph.op("Mul", scores, graph.constant(1 / math.sqrt(head_dim)))
    scores = graph.op("Add", scores, _window_bias(graph, slots, count, span, window))
    out = graph.op("MatMul", graph.op("Softmax", scores, axis=-1), v)
    joined = graph.reshape(graph.transpose(out, [0, 2, 1, 3]), [1, -1, heads * head_dim])
    return graph.slice(joined, 0, count, axis=1)


def _window_bias(
    graph: GraphBuilder, slots: ir.Value, count: ir.Value, span: int, window: Window
) -> ir.Value:
    """[blocks, 1, BLOCK, span]: the window, which is the same in every block, and the real keys."""
    left, right = window
    offset = np.arange(span)[None, :] - left - np.arange(_BLOCK)[:, None]
    inside = np.where((offset >= -left) & (offset <= right), 0.0, _MASKED).astype(np.float32)
    key = graph.op("Sub", slots, graph.constant(left))
    real = graph.op(
        "And",
        graph.op("GreaterOrEqual", key, graph.constant(0)),
        graph.op("Less", key, count),
    )
    missing = graph.op("Where", real, graph.constant(0.0), graph.constant(_MASKED))
    missing = graph.op("Unsqueeze", missing, graph.constant([1, 2]))
    return graph.op("Add", missing, graph.constant(inside[None, None]))


def _dense_windowed(
    graph: GraphBuilder,
    qkv: tuple[ir.Value, ir.Value, ir.Value],
    heads: int,
    window: Window,
    count: ir.Value,
) -> ir.Value:
    key = graph.op("Unsqueeze", graph.range(count), graph.constant([0]))
    query = graph.op("Unsqueeze", graph.range(count), graph.constant([1]))
    bias = _bias_where_allowed(graph, graph.op("Sub", key, query), window)
    return graph.op(
        "MultiHeadAttention",
        *qkv,
        None,
        None,
        graph.op("Unsqueeze", bias, graph.constant([0, 1])),
        domain=MICROSOFT,
        num_heads=heads,
    )


def _bias_where_allowed(graph: GraphBuilder, offset: ir.Value, window: Window) -> ir.Value:
    """0 where the key's offset from the query is inside the window, else masked."""
    left, right = window
    sides = []
    if left >= 0:
        sides.append(graph.op("GreaterOrEqual", offset, graph.constant(-left)))
    if right >= 0:
        sides.append(graph.op("LessOrEqual", offset, graph.constant(right)))
    allowed = sides[0] if len(sides) == 1 else graph.op("And", *sides)
    return graph.op("Where", allowed, graph.constant(0.0), graph.constant(_MASKED))


def _pad_positions(graph: GraphBuilder, x: ir.Value, before: ir.Value, after: ir.Value) -> ir.Value:
    return graph.op("Pad", x, graph.concat([before, after], 0), None, graph.constant([1]))
