"""Graph `vocoder`: mel frames → waveform (report, section 2; reference: `TransformerVocos`).

mel ─ linear ─ layers in a window ─ LayerNorm ─ linear ─ magnitude, phase ─ inverse STFT
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from mimo_edge.errors import BadBundleError

from ..checkpoints.configs import AudioTokenizerConfig
from .attention import rope_tables, windowed_attention
from .graph_builder import GraphBuilder
from .linear import Precision, Weights, linear
from .tokenizer_layers import layer_norm, tokenizer_layer

__all__ = ["WINDOW_TENSOR", "build_vocoder"]

WINDOW_TENSOR = "decoder.vocoder.head.istft.window"
"""Upstream name of the synthesis window, [nfft]: the checkpoint's own numbers, which are a Hann
window rounded to the checkpoint's number type."""

_LARGEST_MAGNITUDE = 100.0
_SMALLEST_ENVELOPE = 1e-11
"""What the reference, too, asks of the overlapped squared windows that it divides by."""


def build_vocoder(
    weights: Weights, config: AudioTokenizerConfig, precision: Precision
) -> GraphBuilder:
    """`mel` float [1, frames, n_mels] → `waveform` float [frames · hop_length]."""
    graph = GraphBuilder("vocoder")
    prefix = "decoder.vocoder"
    mel = graph.input("mel", "float", [1, "frames", config.n_mels])
    x = linear(graph, weights, mel, [f"{prefix}.embeddings.weight"], precision)
    heads = config.vocoder_attention_heads
    head_dim = config.vocoder_dim // heads
    rope = rope_tables(graph, graph.range(graph.dim(mel, 1)), head_dim, config.rope_theta)

    def attend(q: ir.Value, k: ir.Value, v: ir.Value) -> ir.Value:
        return windowed_attention(graph, (q, k, v), heads, head_dim, config.vocoder_window)

    for index in range(config.vocoder_num_layers):
        layer = f"{prefix}.layers.{index}"
        x = tokenizer_layer(graph, weights, x, layer, heads, rope, precision, attend)
    x = layer_norm(graph, weights, x, f"{prefix}.layer_norm")
    head = f"{prefix}.head.out"
    # The exponential magnifies every error of this layer: it stays float32.
    x = linear(graph, weights, x, [f"{head}.weight"], "fp32", [f"{head}.bias"])
    window = _window(graph, weights, config)
    waveform = _inverse_stft(graph, x, window, config.nfft, config.hop_length)
    graph.output(waveform, "waveform", "float", ["samples"])
    return graph


def _window(graph: GraphBuilder, weights: Weights, config: AudioTokenizerConfig) -> ir.Value:
    """The checkpoint's synthesis window, [nfft]."""
    hop = config.hop_length

    def load() -> NDArray[np.float32]:
        window = weights.array(WINDOW_TENSOR)
        # Far from the ends every sample is divided by the squares of all windows over it.
        padded = np.pad(window.astype(np.float64) ** 2, (0, -len(window) % hop))
        if padded.reshape(-1, hop).sum(axis=0).min() <= _SMALLEST_ENVELOPE:
            raise BadBundleError(
                f"the weights are damaged: windows like {WINDOW_TENSOR!r}, {hop} samples apart, "
                "leave gaps between them; download the audio tokenizer again."
            )
        return window

    return graph.weight(WINDOW_TENSOR, "float", weights.shape(WINDOW_TENSOR), load)


def _inverse_stft(
    graph: GraphBuilder, x: ir.Value, window: ir.Value, nfft: int, hop: int
) -> ir.Value:
    """[1, frames, nfft + 2] (log-magnitudes, then phases) → [frames · hop].

    Inverse real FFT, window and overlap-add are linear, so together they are one
    transposed convolution with the windowed Fourier basis as its kernel.
    """
    bins = nfft // 2 + 1
    log_magnitude, phase = graph.split(x, [bins, bins], axis=-1)
    magnitude = graph.op("Min", graph.op("Exp", log_magnitude), graph.constant(_LARGEST_MAGNITUDE))
    spectrum = graph.concat(
        [graph.op("Mul", magnitude, graph.op(part, phase)) for part in ("Cos", "Sin")], -1
    )
    spectrum = graph.transpose(spectrum, [0, 2, 1])
    basis = _fourier_basis(graph, window, nfft)
    envelope = graph.reshape(graph.op("Mul", window, window), [1, 1, nfft])
    frames = graph.concat([graph.constant([1, 1]), graph.dim(x, 1)], 0)
    ones = graph.op("Expand", graph.constant(1.0), frames)
    trim = (nfft - hop) // 2
    waves = [
        graph.slice(
            graph.op("ConvTranspose", signal, kernel, kernel_shape=[nfft], strides=[hop]),
            trim,
            -trim if trim else None,
            axis=2,
        )
        for signal, kernel in ((spectrum, basis), (ones, envelope))
    ]
    return graph.reshape(graph.op("Div", *waves), [-1])


def _fourier_basis(graph: GraphBuilder, window: ir.Value, nfft: int) -> ir.Value:
    """[2 · bins, 1, nfft]: what each real, then each imaginary part adds to a windowed frame.

    Computed in the graph, which onnxruntime does once while it loads: as a constant it would
    be megabytes of every bundle.
    """
    bins = np.arange(nfft // 2 + 1)
    turns = graph.op(
        "Mod",
        graph.op("Mul", graph.constant(bins[:, None]), graph.constant(np.arange(nfft)[None, :])),
        graph.constant(nfft),
    )
    angle = graph.op("Mul", graph.cast(turns, "float"), graph.constant(2 * np.pi / nfft))
    # Every bin but the first and the last stands for its negative frequency too.
    weight = np.where((bins == 0) | (bins == nfft // 2), 1.0, 2.0)[:, None] / nfft
    real = graph.op("Mul", graph.op("Cos", angle), graph.constant(weight))
    imaginary = graph.op("Mul", graph.op("Sin", angle), graph.constant(-weight))
    basis = graph.op("Mul", graph.concat([real, imaginary], 0), window)
    return graph.op("Unsqueeze", basis, graph.constant([1]))
