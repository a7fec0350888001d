"""Graph `audio_decoder`: RVQ codes + state → mel frames + state (report, section 2).

    codes ─ sum of codebook rows ─ up (×2) ─ GroupNorm ─ causal layers ─ LayerNorm
          ─ up (×2) ─ GroupNorm ─ mel frames

A fresh state (`initial` values of the contract) and all codes at once are the offline
decode. In pieces, the layers stay exact through their KV cache; only the two GroupNorms
differ, whose statistics are those of all frames so far instead of the whole sequence.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from ..checkpoints.configs import AudioTokenizerConfig
from .attention import cache_window_bias, cached_attention, rope_tables
from .audio_encoder import codebook_name
from .graph_builder import GraphBuilder
from .linear import Precision, Weights
from .tokenizer_layers import layer_norm, tokenizer_layer, vector

__all__ = ["build_audio_decoder"]

_GROUP_NORM_EPSILON = 1e-5


def build_audio_decoder(
    weights: Weights, config: AudioTokenizerConfig, precision: Precision, channels: int
) -> GraphBuilder:
    """The first `channels` codebooks; inputs and outputs as in the contract `onnx/`."""
    graph = GraphBuilder("audio_decoder")
    codes = graph.input("codes", "int64", ["steps", channels])
    x = _dequantize(graph, weights, codes, channels)
    if config.avg_pooler > 1:
        x = _upsample(
            graph, weights, x, "decoder.dconv1", "up1", config.avg_pooler, config.avg_pooler
        )
    x = _layers(graph, weights, x, config, precision)
    x = layer_norm(graph, weights, x, "decoder.layer_norm")
    mel = _upsample(
        graph,
        weights,
        x,
        "decoder.dconv2",
        "up2",
        config.decoder_kernel_size,
        config.decoder_stride_size,
    )
    graph.output(mel, "mel", "float", [1, "frames", config.n_mels])
    return graph


def _dequantize(graph: GraphBuilder, weights: Weights, codes: ir.Value, channels: int) -> ir.Value:
    """[steps, channels] → [1, steps, d_model]."""
    columns = graph.split(codes, [1] * channels, axis=1)
    total = None
    for index, column in enumerate(columns):
        index_of = graph.reshape(column, [1, -1])
        rows = graph.op("Gather", vector(graph, weights, codebook_name(index)), index_of, axis=0)
        total = rows if total is None else graph.op("Add", total, rows)
    assert total is not None
    return total


def _layers(
    graph: GraphBuilder,
    weights: Weights,
    x: ir.Value,
    config: AudioTokenizerConfig,
    precision: Precision,
) -> ir.Value:
    heads = config.decoder_attention_heads
    head_dim = config.d_model // heads
    position = graph.input("position", "int64", [1])
    count = graph.dim(x, 1)
    positions = graph.op("Add", graph.range(count), position)
    rope = rope_tables(graph, positions, head_dim, config.rope_theta)
    graph.output(graph.op("Add", position, count), "next_position", "int64", [1])
    pasts = [
        tuple(
            graph.input(f"past_{part}_{index}", "float", [1, heads, "past", head_dim])
            for part in ("key", "value")
        )
        for index in range(config.decoder_layers)
    ]
    bias = None
    if config.decoder_window[0] >= 0:
        past = graph.dim(pasts[0][0], 2)
        bias = cache_window_bias(graph, count, past, config.decoder_window[0])
    for index, (past_key, past_value) in enumerate(pasts):

        def attend(
            q: ir.Value,
            k: ir.Value,
            v: ir.Value,
            index: int = index,
            past: tuple[ir.Value, ir.Value] = (past_key, past_value),
        ) -> ir.Value:
            out, *present = cached_attention(graph, (q, k, v), heads, past, bias)
            for part, value in zip(("key", "value"), present, strict=True):
                name = f"present_{part}_{index}"
                graph.output(value, name, "float", [1, heads, "total", head_dim])
            return out

        prefix = f"decoder.layers.{index}"
        x = tokenizer_layer(graph, weights, x, prefix, heads, rope, precision, attend)
    return x


@dataclass(frozen=True)
class _Moments:
    """Count, mean and sum of squared deviations, each float [1]."""

    count: ir.Value
    mean: ir.Value
    deviation: ir.Value


def _upsample(
    graph: GraphBuilder,
    weights: Weights,
    x: ir.Value,
    prefix: str,
    state: str,
    kernel: int,
    stride: int,
) -> ir.Value:
    """Transposed convolution and GroupNorm (reference: `CausalConvTranspose1d`), in pieces.

    A piece of n positions gives n·stride finished frames and a tail of kernel - stride
    frames that the next piece adds to. The tail is not in the output, but the reference
    computes the statistics before it cuts the tail off, so they include it.
    """
    channels = weights.shape(f"{prefix}.conv.weight")[1]
    tail = max(0, kernel - stride)
    x = graph.op(
        "ConvTranspose",
        graph.transpose(x, [0, 2, 1]),
        vector(graph, weights, f"{prefix}.conv.weight"),
        kernel_shape=[kernel],
        strides=[stride],
    )
    bias = vector(graph, weights, f"{prefix}.conv.bias")
    bias = graph.op("Unsqueeze", bias, graph.constant([1]))
    seen = graph.input(f"{state}_stats", "float", [3])
    before = _Moments(*graph.split(seen, [1, 1, 1], axis=0))
    if tail:
        carry = graph.input(f"{state}_carry", "float", [1, channels, tail])
        rest = graph.op("Sub", graph.dim(x, 2), graph.constant([tail]))
        pads = graph.concat([graph.constant([0]), rest], 0)
        x = graph.op("Add", x, graph.op("Pad", carry, pads, None, graph.constant([2])))
        frames = graph.op("Add", graph.slice(x, 0, -tail, axis=2), bias)
        loose = graph.slice(x, -tail, None, axis=2)
        graph.output(loose, f"{state}_next_carry", "float", [1, channels, tail])
        finished = _merge(graph, before, _moments(graph, frames))
        moments = _merge(graph, finished, _moments(graph, graph.op("Add", loose, bias)))
    else:
        frames = graph.op("Add", x, bias)
        finished = moments = _merge(graph, before, _moments(graph, frames))
    stats = graph.concat([finished.count, finished.mean, finished.deviation], 0)
    graph.output(stats, f"{state}_next_stats", "float", [3])
    return _normalize(graph, weights, frames, moments, f"{prefix}.norm")


def _moments(graph: GraphBuilder, x: ir.Value) -> _Moments:
    """Over all elements of [1, channels, frames]."""
    count = graph.cast(graph.op("Size", x), "float")
    mean = graph.op("ReduceMean", x, keepdims=0)
    centred = graph.op("Sub", x, mean)
    deviation = graph.op("ReduceSumSquare", centred, keepdims=0)
    one = graph.constant([1])
    return _Moments(*(graph.op("Reshape", value, one) for value in (count, mean, deviation)))


def _merge(graph: GraphBuilder, a: _Moments, b: _Moments) -> _Moments:
    """Moments of both sets together (Chan et al. 1979): no difference of large sums."""
    count = graph.op("Add", a.count, b.count)
    share = graph.op("Div", b.count, count)
    delta = graph.op("Sub", b.mean, a.mean)
    mean = graph.op("Add", a.mean, graph.op("Mul", delta, share))
    between = graph.op("Mul", graph.op("Mul", delta, delta), graph.op("Mul", a.count, share))
    deviation = graph.op("Add", graph.op("Add", a.deviation, b.deviation), between)
    return _Moments(count, mean, deviation)


def _normalize(
    graph: GraphBuilder, weights: Weights, x: ir.Value, moments: _Moments, prefix: str
) -> ir.Value:
    """GroupNorm with one group and the given statistics; → [1, frames, channels]."""
    variance = graph.op("Div", moments.deviation, moments.count)
    spread = graph.op("Sqrt", graph.op("Add", variance, graph.constant(_GROUP_NORM_EPSILON)))
    x = graph.op("Div", graph.op("Sub", x, moments.mean), spread)
    x = graph.transpose(x, [0, 2, 1])
    gain, bias = (vector(graph, weights, f"{prefix}.{part}") for part in ("weight", "bias"))
    return graph.op("Add", graph.op("Mul", x, gain), bias)
