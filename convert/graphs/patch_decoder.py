"""Graph `patch_decoder`: steps of the delayed code decoder (report, section 4).

    x [batch, positions, local_dim] + cache ─ layers ─ logits of all codebooks side by side + cache

Each row of the batch is the patch of another answer. All rows have as many steps in the cache,
because every patch takes the same steps; the cache has room for all of them from the beginning.

The input of a patch's first step is the projected hidden state of the backbone, that of
the others a sum of code embeddings. Both are small products, which the runtime takes from
two matrices beside the graph: `hidden_downcast.npy` and `code_embeddings.npy`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ..checkpoints.configs import LanguageModelConfig
from .graph_builder import GraphBuilder
from .linear import Precision, Weights, linear
from .patch_encoder import code_embedding_table
from .patch_layers import qwen2_layers
from .step_attention import StepAttention

__all__ = ["build_patch_decoder", "decoder_input_tables"]

HEADS: Mapping[Precision, Precision] = MappingProxyType(
    {"fp32": "fp32", "int8": "fp32", "w8": "w8", "w4": "w8", "w4c": "w8"}
)
"""Precision of a graph → that of its code heads, whose error goes straight into the codes. Rounded
to 8 bits alone, they cost the codes of the demo model a divergence of 0.0001; to 4 bits, 0.03."""


def build_patch_decoder(
    weights: Weights, config: LanguageModelConfig, precision: Precision
) -> GraphBuilder:
    """The graph of a checkpoint; its inputs and outputs are in `onnx/patch_decoder.json`."""
    graph = GraphBuilder("patch_decoder")
    x = graph.input("x", "float", ["batch", "positions", config.local_dim])
    attention = StepAttention(
        graph,
        heads=config.local_attn_heads,
        head_dim=config.local_dim // config.local_attn_heads,
        most_steps=config.group_size + max(config.delays),
        theta=config.rope_theta,
    )
    x = qwen2_layers(
        graph,
        weights,
        x,
        "local_transformer",
        config.local_layers,
        config.rms_norm_eps,
        precision,
        attention.attend,
    )
    # Nobody draws from the logits of the positions before the last.
    x = graph.op("Gather", x, graph.constant(-1), axis=1)
    names = [f"local_transformer_lm_heads.{c}.weight" for c in range(config.audio_channels)]
    logits = linear(graph, weights, x, names, HEADS[precision])
    graph.output(logits, "logits", "float", ["batch", sum(config.speech_vocab_sizes)])
    attention.declare_outputs()
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
