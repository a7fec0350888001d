"""Graph `patch_decoder`: one step of the delayed code decoder (report, section 4).

    x [1, 1, local_dim] + cache ─ layers ─ logits of all codebooks side by side + cache

The input of a patch's first step is the projected hidden state of the backbone, that of
the others a sum of code embeddings. Both are small products, which the runtime takes from
two matrices beside the graph: `hidden_downcast.npy` and `code_embeddings.npy`.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from .attention import cached_attention, rope_tables
from .configs import LanguageModelConfig
from .graph_builder import GraphBuilder
from .linear import Precision, Weights, linear
from .patch_encoder import code_embedding_table
from .patch_layers import qwen2_layers

__all__ = ["build_patch_decoder", "decoder_input_tables"]


def build_patch_decoder(
    weights: Weights, config: LanguageModelConfig, precision: Precision
) -> GraphBuilder:
    """`x`, `past` → `logits`, `present`; the cache is [layers, 2, heads, steps, head_dim]."""
    graph = GraphBuilder("patch_decoder")
    heads = config.local_attn_heads
    head_dim = config.local_dim // heads
    layers = config.local_layers
    x = graph.input("x", "float", [1, 1, config.local_dim])
    past = graph.input("past", "float", [layers, 2, heads, "steps", head_dim])
    rope = rope_tables(graph, graph.dim(past, 3), head_dim, config.rope_theta)
    caches = [
        graph.split(cache, [1, 1], axis=1) for cache in graph.split(past, [1] * layers, axis=0)
    ]
    grown: list[ir.Value] = []

    def attend(layer: int, q: ir.Value, k: ir.Value, v: ir.Value) -> ir.Value:
        key, value = (graph.op("Squeeze", part, graph.constant([0])) for part in caches[layer])
        out, *present = cached_attention(graph, (q, k, v), heads, (key, value))
        grown.append(graph.concat(present, 0))
        return out

    x = qwen2_layers(
        graph,
        weights,
        x,
        "local_transformer",
        layers,
        heads,
        config.rms_norm_eps,
        rope,
        precision,
        attend,
    )
    x = graph.reshape(x, [1, config.local_dim])
    names = [f"local_transformer_lm_heads.{c}.weight" for c in range(config.audio_channels)]
    # Coarse code heads lose the end of speech first: they stay float32.
    logits = linear(graph, weights, x, names, "fp32")
    graph.output(logits, "logits", "float", [1, sum(config.speech_vocab_sizes)])
    unsqueezed = [graph.op("Unsqueeze", cache, graph.constant([0])) for cache in grown]
    present = graph.concat(unsqueezed, 0)
    graph.output(present, "present", "float", [layers, 2, heads, "steps_after", head_dim])
    return graph


def decoder_input_tables(
    weights: Weights, config: LanguageModelConfig
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(code embeddings [sum of vocab sizes, local_dim], downcast [local_dim, hidden]).

    Where the embeddings have another width they are projected here, once and for all.
    """
    table = code_embedding_table(weights, config)
    if config.input_local_dim != config.local_dim:
        table = table @ weights.array("speech_embeddings_to_local.weight").T
    return table, weights.array("hidden_states_downcast.weight")
