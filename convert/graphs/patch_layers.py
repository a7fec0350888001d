"""The Qwen2 block of the patch encoder and the patch decoder."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from .graph_builder import MICROSOFT, GraphBuilder
from .linear import Precision, Weights, linear
from .tokenizer_layers import vector

__all__ = ["qwen2_layers"]

Attend = Callable[[int, ir.Value], ir.Value]
"""(layer, queries, keys and values side by side [batch, positions, 3·width]) → [batch, positions,
width]."""


def qwen2_layers(
    graph: GraphBuilder,
    weights: Weights,
    x: ir.Value,
    prefix: str,
    layers: int,
    epsilon: float,
    precision: Precision,
    attend: Attend,
) -> ir.Value:
    """All blocks and the final norm (reference: transformers `Qwen2Model` without embeddings).

    Each residual sum is taken together with the norm that follows it, in one operator.
    """
    gain = vector(graph, weights, f"{prefix}.layers.0.input_layernorm.weight")
    hidden = graph.op(
        "SimplifiedLayerNormalization", x, gain, axis=-1, epsilon=epsilon, stash_type=1
    )
    for index in range(layers):
        layer = f"{prefix}.layers.{index}"
        attn = f"{layer}.self_attn"
        qkv = linear(
            graph,
            weights,
            hidden,
            [f"{attn}.{part}_proj.weight" for part in "qkv"],
            precision,
            [f"{attn}.{part}_proj.bias" for part in "qkv"],
        )
        hidden = attend(index, qkv)
        hidden = linear(graph, weights, hidden, [f"{attn}.o_proj.weight"], precision)
        gain = vector(graph, weights, f"{layer}.post_attention_layernorm.weight")
        hidden, x = _add_and_norm(graph, x, hidden, gain, epsilon)
        gated = _mlp(graph, weights, hidden, f"{layer}.mlp", precision)
        following = (
            f"{prefix}.layers.{index + 1}.input_layernorm"
            if index + 1 < layers
            else f"{prefix}.norm"
        )
        gain = vector(graph, weights, f"{following}.weight")
        hidden, x = _add_and_norm(graph, x, gated, gain, epsilon)
    return hidden


def _add_and_norm(
    graph: GraphBuilder, x: ir.Value, update: ir.Value, gain: ir.Value, epsilon: float
) -> tuple[ir.Value, ir.Value]:
    """(RMSNorm(x + update), x + update)."""
    normed, _, _, total = graph.ops(
        "SkipSimplifiedLayerNormalization",
        x,
        update,
        gain,
        outputs=4,
        domain=MICROSOFT,
        epsilon=epsilon,
    )
    return normed, total


def _mlp(
    graph: GraphBuilder, weights: Weights, x: ir.Value, prefix: str, precision: Precision
) -> ir.Value:
    """The gated feed-forward layer: down(SiLU(gate(x)) · up(x))."""
    names = [f"{prefix}.gate_proj.weight", f"{prefix}.up_proj.weight"]
    both = linear(graph, weights, x, names, precision)
    width = weights.shape(names[0])[0]
    gate, up = graph.split(both, [width, width], axis=-1)
    gate = graph.op("QuickGelu", gate, domain=MICROSOFT, alpha=1.0)  # x · sigmoid(x), SiLU
    product = graph.op("Mul", gate, up)
    return linear(graph, weights, product, [f"{prefix}.down_proj.weight"], precision)
