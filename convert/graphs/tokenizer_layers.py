"""What encoder, decoder and vocoder of the audio tokenizer share: the pre-LayerNorm block."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from .attention import Rope
from .graph_builder import GraphBuilder
from .linear import Precision, Weights, linear

__all__ = ["gelu", "layer_norm", "tokenizer_layer", "vector"]

_LAYER_NORM_EPSILON = 1e-5
"""PyTorch's default, which the reference keeps."""

Attend = Callable[[ir.Value, ir.Value, ir.Value], ir.Value]
"""(q, k, v), each [1, positions, width] → [1, positions, width]."""


def gelu(graph: GraphBuilder, x: ir.Value) -> ir.Value:
    """The exact GELU (erf)."""
    return graph.op("Gelu", x)


def layer_norm(graph: GraphBuilder, weights: Weights, x: ir.Value, prefix: str) -> ir.Value:
    """LayerNorm over the last axis."""
    gain, bias = (vector(graph, weights, f"{prefix}.{part}") for part in ("weight", "bias"))
    return graph.op("LayerNormalization", x, gain, bias, axis=-1, epsilon=_LAYER_NORM_EPSILON)


def vector(graph: GraphBuilder, weights: Weights, name: str) -> ir.Value:
    """A tensor of the checkpoint as it is, in float32."""
    return graph.weight(name, "float", weights.shape(name), lambda: weights.array(name))


def tokenizer_layer(
    graph: GraphBuilder,
    weights: Weights,
    x: ir.Value,
    prefix: str,
    heads: int,
    rope: Rope,
    precision: Precision,
    attend: Attend,
) -> ir.Value:
    """One block (reference: `TransformerLayer`); x is [1, positions, width].

    x ─┬─ LayerNorm ─ q,k,v ─ RoPE ─ attend ─ out ─(+)─┬─ LayerNorm ─ fc1 ─ GELU ─ fc2 ─(+)─
       └──────────────────────────────────────────────┘└─────────────────────────────────┘
    """
    width = weights.shape(f"{prefix}.self_attn.q_proj.weight")[0]
    attn = f"{prefix}.self_attn"
    hidden = layer_norm(graph, weights, x, f"{prefix}.self_attn_layer_norm")
    qkv = linear(
        graph,
        weights,
        hidden,
        [f"{attn}.{part}_proj.weight" for part in "qkv"],
        precision,
        [f"{attn}.q_proj.bias", None, f"{attn}.v_proj.bias"],
    )
    q, k, v = graph.split(qkv, [width] * 3, axis=-1)
    hidden = attend(rope.apply(graph, q, heads), rope.apply(graph, k, heads), v)
    out = f"{attn}.out_proj"
    x = graph.op(
        "Add",
        x,
        linear(graph, weights, hidden, [f"{out}.weight"], precision, [f"{out}.bias"]),
    )
    hidden = layer_norm(graph, weights, x, f"{prefix}.final_layer_norm")
    for name in ("fc1", "fc2"):
        full = f"{prefix}.{name}"
        hidden = linear(graph, weights, hidden, [f"{full}.weight"], precision, [f"{full}.bias"])
        if name == "fc1":
            hidden = gelu(graph, hidden)
    return graph.op("Add", x, hidden)
