"""Graph `patch_encoder`: RVQ codes of patches → backbone embeddings (report, section 4).

codes [P, group, channels] ─ sum of code embeddings ─ layers over the group
    ─ the group's outputs side by side ─ projection ─ [P, hidden]
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..checkpoints.configs import LanguageModelConfig
from .attention import full_attention, rope_tables
from .graph_builder import GraphBuilder
from .linear import Precision, Weights, linear
from .patch_layers import qwen2_layers

__all__ = ["build_patch_encoder", "code_embedding_table"]


def build_patch_encoder(
    weights: Weights, config: LanguageModelConfig, precision: Precision
) -> GraphBuilder:
    """`codes` int64 [patches, group, channels] → `embeddings` float [patches, hidden]."""
    graph = GraphBuilder("patch_encoder")
    group, channels = config.group_size, config.audio_channels
    heads = config.local_attn_heads
    codes = graph.input("codes", "int64", ["patches", group, channels])
    x = _embed(graph, weights, codes, config)
    positions = graph.constant(np.arange(group, dtype=np.int64))
    rope = rope_tables(graph, positions, config.input_local_dim // heads, config.rope_theta)

    def attend(_: int, qkv: ir.Value) -> ir.Value:
        q, k, v = graph.split(qkv, [config.input_local_dim] * 3, axis=-1)
        q, k = rope.apply(graph, q, heads), rope.apply(graph, k, heads)
        return full_attention(graph, q, k, v, heads, causal=not config.input_full_attention)

    x = qwen2_layers(
        graph,
        weights,
        x,
        "input_local_transformer",
        config.input_local_layers,
        config.rms_norm_eps,
        precision,
        attend,
    )
    x = graph.reshape(x, [-1, group * config.input_local_dim])
    x = linear(graph, weights, x, ["speech_group_downcast.weight"], precision)
    graph.output(x, "embeddings", "float", ["patches", config.hidden_size])
    return graph


def code_embedding_table(weights: Weights, config: LanguageModelConfig) -> NDArray[np.float32]:
    """The tables of all codebooks, one below the other, with the empty ids' rows zero."""
    tables = []
    for channel, empty in enumerate(config.speech_empty_ids):
        table = weights.array(f"speech_embeddings.{channel}.weight").copy()
        table[empty] = 0.0
        tables.append(table)
    return np.concatenate(tables)


def _embed(
    graph: GraphBuilder, weights: Weights, codes: ir.Value, config: LanguageModelConfig
) -> ir.Value:
    """[P, group, channels] → [P, group, input_local_dim]."""
    sizes = config.speech_vocab_sizes
    table = graph.weight(
        "speech_embeddings",
        "float",
        [sum(sizes), config.input_local_dim],
        lambda: code_embedding_table(weights, config),
    )
    offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    rows = graph.op("Add", codes, graph.constant(offsets))
    embedded = graph.op("Gather", table, rows, axis=0)
    return graph.op("ReduceSum", embedded, graph.constant([2]), keepdims=0)
