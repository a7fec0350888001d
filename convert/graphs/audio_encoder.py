"""Graph `audio_encoder`: log-mel of one segment → RVQ codes (report, section 2).

mel ─ conv1 ─ GELU ─ conv2 (÷2) ─ GELU ─ layers ─(+ skip)─ LayerNorm
    ─ pooling conv (÷2) ─ GELU ─ LayerNorm ─ RVQ ─ codes
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..checkpoints.configs import AudioTokenizerConfig
from .attention import full_attention, rope_tables, windowed_attention
from .graph_builder import GraphBuilder
from .linear import Precision, Weights
from .tokenizer_layers import gelu, layer_norm, tokenizer_layer, vector

__all__ = ["build_audio_encoder", "codebook_name"]


def build_audio_encoder(
    weights: Weights, config: AudioTokenizerConfig, precision: Precision
) -> GraphBuilder:
    """`mel` float [1, frames, n_mels] → `codes` int64 [steps, quantizers]."""
    graph = GraphBuilder("audio_encoder")
    mel = graph.input("mel", "float", [1, "frames", config.n_mels])
    x = _convolutions(graph, weights, mel, config)
    x = _layers(graph, weights, x, config, precision)
    x = layer_norm(graph, weights, x, "encoder.layer_norm")
    if config.avg_pooler > 1:
        x = _pool(graph, weights, x, config.avg_pooler)
    codes = _quantize(graph, weights, graph.reshape(x, [-1, config.d_model]), config)
    graph.output(codes, "codes", "int64", ["steps", config.num_quantizers])
    return graph


def _convolutions(
    graph: GraphBuilder, weights: Weights, mel: ir.Value, config: AudioTokenizerConfig
) -> ir.Value:
    """[1, frames, n_mels] → [1, frames / stride, d_model]."""
    x = graph.transpose(mel, [0, 2, 1])
    for name, stride in (("encoder.conv1", 1), ("encoder.conv2", config.stride_size)):
        x = graph.op(
            "Conv",
            x,
            vector(graph, weights, f"{name}.weight"),
            vector(graph, weights, f"{name}.bias"),
            kernel_shape=[config.kernel_size],
            strides=[stride],
            pads=[1, 1],
        )
        x = gelu(graph, x)
    return graph.transpose(x, [0, 2, 1])


def _layers(
    graph: GraphBuilder,
    weights: Weights,
    x: ir.Value,
    config: AudioTokenizerConfig,
    precision: Precision,
) -> ir.Value:
    heads = config.encoder_attention_heads
    head_dim = config.d_model // heads
    rope = rope_tables(graph, graph.range(graph.dim(x, 1)), head_dim, config.rope_theta)
    left, right = config.encoder_window
    causal = config.encoder_causal

    def attend(q: ir.Value, k: ir.Value, v: ir.Value) -> ir.Value:
        if causal and left < 0:
            return full_attention(graph, q, k, v, heads, causal=True)
        window = (left, 0 if causal else right)
        return windowed_attention(graph, (q, k, v), heads, head_dim, window)

    skip = None
    for index in range(config.encoder_layers):
        prefix = f"encoder.layers.{index}"
        x = tokenizer_layer(graph, weights, x, prefix, heads, rope, precision, attend)
        if index == config.encoder_skip_layer_id - 1:
            skip = x
    return x if skip is None else graph.op("Add", x, skip)


def _pool(graph: GraphBuilder, weights: Weights, x: ir.Value, size: int) -> ir.Value:
    """Zero-pad to a multiple of `size` and join every `size` positions by a convolution."""
    count = graph.dim(x, 1)
    unit = graph.constant([size])
    missing = graph.op("Mod", graph.op("Sub", unit, graph.op("Mod", count, unit)), unit)
    pads = graph.concat([graph.constant([0]), missing], 0)
    x = graph.op("Pad", x, pads, None, graph.constant([1]))
    x = graph.op(
        "Conv",
        graph.transpose(x, [0, 2, 1]),
        vector(graph, weights, "encoder.down_sample_layer.0.weight"),
        kernel_shape=[size],
        strides=[size],
    )
    x = graph.transpose(gelu(graph, x), [0, 2, 1])
    return layer_norm(graph, weights, x, "encoder.down_sample_norm")


def _quantize(
    graph: GraphBuilder, weights: Weights, residual: ir.Value, config: AudioTokenizerConfig
) -> ir.Value:
    """Residual vector quantization, always in float32: [steps, d_model] → [steps, quantizers].

    The nearest row e of a codebook minimizes |e|²/2 - r·e: the rest of the squared
    distance is the same for all.
    """
    columns = []
    for index in range(config.num_quantizers):
        name = codebook_name(index)
        rows = config.codebook_sizes[index]
        codebook = vector(graph, weights, name)

        def halved_norms(name: str = name) -> NDArray[np.float32]:
            rows = weights.array(name).astype(np.float64)
            return np.asarray((rows**2).sum(axis=1) / 2, dtype=np.float32)

        norms = graph.weight(f"{name}.norms", "float", [rows], halved_norms)
        products = graph.op("MatMul", residual, graph.transpose(codebook, [1, 0]))
        code = graph.op("ArgMin", graph.op("Sub", norms, products), axis=1, keepdims=0)
        columns.append(graph.op("Unsqueeze", code, graph.constant([1])))
        if index + 1 < config.num_quantizers:
            residual = graph.op("Sub", residual, graph.op("Gather", codebook, code, axis=0))
    return graph.concat(columns, 1)


def codebook_name(index: int) -> str:
    """Upstream name of one RVQ codebook, [size, d_model]."""
    return f"encoder.quantizer.vq.layers.{index}._codebook.embed"
