"""Waveform → log-mel → RVQ codes → mel frames → waveform."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .layers import (
    Array,
    attention,
    conv1d,
    conv_transpose1d,
    gelu,
    group_norm,
    layer_norm,
    linear,
    rope,
    visible,
)
from .weights import Tensors, load_config, load_tensors

SEGMENT_FRAMES = 6000
"""Mel frames the encoder sees at once; a constant of the model's code, not of its config."""
SEGMENT_STEPS = 1500
"""Code steps the offline decoder sees at once."""

LOG_FLOOR = 1e-7
MAX_MAGNITUDE = 100.0


class AudioTokenizer:
    """The audio tokenizer of one checkpoint folder, evaluated in `dtype`."""

    def __init__(self, folder: Path, dtype: DTypeLike = np.float32) -> None:
        self.config = _with_defaults(load_config(folder))
        self.dtype = np.dtype(dtype)
        self.tensors: Tensors = load_tensors(folder, dtype)

    # -- the way in ---------------------------------------------------------------

    def log_mel(self, wave: Array) -> Array:
        """Mono waveform [samples] → [frames, n_mels], natural logarithm of magnitudes."""
        c = self.config
        size, hop = c["nfft"], c["hop_length"]
        padded = np.pad(wave.astype(self.dtype), size // 2, mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
        window = _centred(hann(c["window_size"]), size).astype(self.dtype)
        spectrum = np.abs(np.fft.rfft(frames * window)).astype(self.dtype)
        filters = mel_filters(size // 2 + 1, c["n_mels"], c["sampling_rate"], c["fmin"], c["fmax"])
        bands = spectrum @ filters.astype(self.dtype)
        logarithms: Array = np.log(np.maximum(bands, np.asarray(LOG_FLOOR, self.dtype)))
        return logarithms

    def encode_segment(self, mel: Array) -> Array:
        """Log-mel of one segment [frames, n_mels] → vectors before the quantizer [steps, d]."""
        c, t = self.config, self.tensors
        x = mel.astype(self.dtype)
        x = gelu(conv1d(x, t["encoder.conv1.weight"], t["encoder.conv1.bias"], 1, 1))
        x = conv1d(x, t["encoder.conv2.weight"], t["encoder.conv2.bias"], c["stride_size"], 1)
        x = gelu(x)
        left, right = c["encoder_attn_window_size"]
        if c["encoder_causal"]:
            right = 0
        skipped: Array | None = None
        for layer in range(c["encoder_layers"]):
            heads = c["encoder_attention_heads"]
            x = self._layer(x, f"encoder.layers.{layer}.", heads, left, right)
            if layer + 1 == c["encoder_skip_layer_id"]:
                skipped = x
        if skipped is not None:
            x = x + skipped
        x = self._norm(x, "encoder.layer_norm.")
        pool = c["avg_pooler"]
        if pool == 1:
            return x
        x = np.pad(x, ((0, -len(x) % pool), (0, 0)))
        x = gelu(conv1d(x, t["encoder.down_sample_layer.0.weight"], None, pool, 0))
        return self._norm(x, "encoder.down_sample_norm.")

    def quantize(self, x: Array, quantizers: int | None = None) -> Array:
        """Vectors [steps, d] → codes [steps, quantizers]: the nearest row, then the rest."""
        residual, codes = x, []
        for stage in range(quantizers or self.config["num_quantizers"]):
            rows = self.codebook(stage)
            # |x|² is the same for every row and does not change which one is nearest.
            distance = (rows * rows).sum(axis=1) - 2 * residual @ rows.T
            codes.append(distance.argmin(axis=1))
            residual = residual - rows[codes[-1]]
        return np.stack(codes, axis=1).astype(np.int32)

    def encode_mel(self, mel: Array, quantizers: int | None = None) -> Array:
        """Log-mel of any length → codes [steps, quantizers], segment by segment."""
        segments = [mel[i : i + SEGMENT_FRAMES] for i in range(0, len(mel), SEGMENT_FRAMES)]
        return np.concatenate([self.quantize(self.encode_segment(s), quantizers) for s in segments])

    def encode(self, wave: Array, quantizers: int | None = None) -> Array:
        """Mono waveform → codes [steps, quantizers]."""
        return self.encode_mel(self.log_mel(wave), quantizers)

    def codebook(self, stage: int) -> Array:
        """Rows of one codebook [entries, d]."""
        rows = self.tensors[f"encoder.quantizer.vq.layers.{stage}._codebook.embed"]
        if len(rows) != self.config["codebook_size"][stage]:
            raise ValueError(f"codebook {stage} has {len(rows)} rows, not what the config says")
        return rows

    # -- the way out --------------------------------------------------------------

    def dequantize(self, codes: Array) -> Array:
        """Codes [steps, n] → the sum of their rows [steps, d]."""
        rows = [self.codebook(i)[codes[:, i]] for i in range(codes.shape[1])]
        total: Array = np.sum(rows, axis=0)
        return total

    def decode_frames(self, codes: Array) -> Array:
        """Codes of one segment [steps, n] → the vocoder's input [frames, n_mels]."""
        c = self.config
        x = self.dequantize(codes)
        if c["avg_pooler"] != 1:
            x = self._upsample(x, "decoder.dconv1.", c["avg_pooler"])
        left, right = c["decoder_attn_window_size"]
        if c["decoder_causal"]:
            right = 0
        for layer in range(c["decoder_layers"]):
            heads = c["decoder_attention_heads"]
            x = self._layer(x, f"decoder.layers.{layer}.", heads, left, right)
        x = self._norm(x, "decoder.layer_norm.")
        return self._upsample(x, "decoder.dconv2.", c["decoder_stride_size"])

    def vocode(self, frames: Array) -> Array:
        """Frames [n, n_mels] → waveform [n · hop_length]."""
        c, t = self.config, self.tensors
        x = linear(frames, t["decoder.vocoder.embeddings.weight"])
        left, right = c["vocoder_attn_window_size"]
        for layer in range(c["vocoder_num_layers"]):
            heads = c["vocoder_attention_heads"]
            x = self._layer(x, f"decoder.vocoder.layers.{layer}.", heads, left, right)
        x = self._norm(x, "decoder.vocoder.layer_norm.")
        head = "decoder.vocoder.head.out."
        x = linear(x, t[head + "weight"], t[head + "bias"])
        log_magnitude, phase = np.split(x, 2, axis=1)
        spectrum = np.minimum(np.exp(log_magnitude), MAX_MAGNITUDE) * np.exp(1j * phase)
        return self._overlap_add(np.fft.irfft(spectrum, c["nfft"]))

    def decode(self, codes: Array) -> Array:
        """Codes [steps, n] → waveform, offline, in segments of `SEGMENT_STEPS`."""
        segments = [codes[i : i + SEGMENT_STEPS] for i in range(0, len(codes), SEGMENT_STEPS)]
        return np.concatenate([self.vocode(self.decode_frames(s)) for s in segments])

    @property
    def samples_per_step(self) -> int:
        """Samples one code step decodes to."""
        c = self.config
        return int(c["avg_pooler"] * c["decoder_stride_size"] * c["hop_length"])

    # -- parts --------------------------------------------------------------------

    def _layer(self, x: Array, prefix: str, heads: int, left: int, right: int) -> Array:
        h = self._norm(x, prefix + "self_attn_layer_norm.")
        x = x + self._attention(h, prefix + "self_attn.", heads, left, right)
        h = self._norm(x, prefix + "final_layer_norm.")
        t = self.tensors
        h = gelu(linear(h, t[prefix + "fc1.weight"], t[prefix + "fc1.bias"]))
        return x + linear(h, t[prefix + "fc2.weight"], t[prefix + "fc2.bias"])

    def _attention(self, x: Array, prefix: str, heads: int, left: int, right: int) -> Array:
        t = self.tensors
        positions = np.arange(len(x))

        def project(name: str) -> Array:
            bias = t.get(f"{prefix}{name}_proj.bias")  # the keys have none
            return linear(x, t[f"{prefix}{name}_proj.weight"], bias).reshape(len(x), heads, -1)

        theta = float(self.config["rope_theta"])
        y = attention(
            rope(project("q"), positions, theta),
            rope(project("k"), positions, theta),
            project("v"),
            visible(positions, positions, left, right),
        )
        return linear(y, t[prefix + "out_proj.weight"], t[prefix + "out_proj.bias"])

    def _norm(self, x: Array, prefix: str) -> Array:
        return layer_norm(x, self.tensors[prefix + "weight"], self.tensors[prefix + "bias"])

    def _upsample(self, x: Array, prefix: str, stride: int) -> Array:
        """Transposed convolution, its norm over all it gives, then what reaches too far cut off."""
        t = self.tensors
        weight = t[prefix + "conv.weight"]
        y = conv_transpose1d(x, weight, t[prefix + "conv.bias"], stride)
        y = group_norm(y, t[prefix + "norm.weight"], t[prefix + "norm.bias"])
        return y[: len(y) - max(0, weight.shape[2] - stride)]

    def _overlap_add(self, pieces: Array) -> Array:
        """Windowed pieces [frames, nfft] → waveform, divided by the overlapped squared window."""
        size, hop = self.config["nfft"], self.config["hop_length"]
        window = self.tensors["decoder.vocoder.head.istft.window"]
        total = (len(pieces) - 1) * hop + size
        wave, weight = np.zeros(total), np.zeros(total)
        for i, piece in enumerate(pieces):
            wave[i * hop : i * hop + size] += piece * window
            weight[i * hop : i * hop + size] += window * window
        trim = (size - hop) // 2
        kept = slice(trim, total - trim)
        return (wave[kept] / weight[kept]).astype(self.dtype)


def hann(size: int) -> Array:
    """The periodic one."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)


def mel_filters(bins: int, mels: int, rate: int, low: float, high: float | None) -> Array:
    """HTK triangles without normalization [bins, mels]."""
    top = _hertz_to_mel(float(high) if high is not None else rate / 2)
    points = _mel_to_hertz(np.linspace(_hertz_to_mel(float(low)), top, mels + 2))
    frequencies = np.linspace(0, rate // 2, bins)[:, None]
    rising = (frequencies - points[:-2]) / (points[1:-1] - points[:-2])
    falling = (points[2:] - frequencies) / (points[2:] - points[1:-1])
    filters: Array = np.maximum(0, np.minimum(rising, falling))
    return filters


def _hertz_to_mel(hertz: float) -> float:
    return float(2595 * np.log10(1 + hertz / 700))


def _mel_to_hertz(mel: Array) -> Array:
    return 700 * (10 ** (mel / 2595) - 1)


def _centred(window: Array, size: int) -> Array:
    """A window shorter than the transform has zeros on both sides."""
    left = (size - len(window)) // 2
    return np.pad(window, (left, size - len(window) - left))


def _with_defaults(config: dict[str, Any]) -> dict[str, Any]:
    """The keys a config may leave out, and the short codebook list filled up."""
    filled: dict[str, Any] = {
        "encoder_skip_layer_id": None,
        "encoder_causal": False,
        "decoder_causal": True,
        "decoder_stride_size": 2,
        "fmin": 0,
        "fmax": None,
        "rope_theta": 10000,
        **config,
    }
    filled["codebook_size"] = filled.get("codebook_size") or [1024]
    for key, window in (("encoder", [-1, -1]), ("decoder", [-1, -1]), ("vocoder", [40, 10])):
        name = f"{key}_attn_window_size"
        filled[name] = filled.get(name) or window
    sizes, count = filled["codebook_size"], filled["num_quantizers"]
    sizes = [sizes] if isinstance(sizes, int) else sizes
    filled["codebook_size"] = (sizes + [sizes[-1]] * count)[:count]
    return filled
