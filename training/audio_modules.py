"""The audio tokenizer as PyTorch modules whose state dict has the released names.

Shapes: `B` batch, `T` positions, `C` channels. All clips of a batch have the
same length: nothing is masked for padding.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.quantizer import Quantizer


def rope(positions: int, dim: int, base: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines [positions, dim], halves repeated (rotate-half convention)."""
    inverse = base ** (-torch.arange(0, dim, 2, dtype=torch.float32) / dim)
    angles = torch.arange(positions, dtype=torch.float32)[:, None] * inverse
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Apply RoPE to [..., T, dim]."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def window_mask(length: int, left: int, right: int) -> Tensor | None:
    """True where position i may look at j: i - left <= j <= i + right; -1: unlimited."""
    if left < 0 and right < 0:
        return None
    distance = torch.arange(length)[None, :] - torch.arange(length)[:, None]
    mask = torch.ones(length, length, dtype=torch.bool)
    if left >= 0:
        mask &= distance >= -left
    if right >= 0:
        mask &= distance <= right
    return mask


class Attention(nn.Module):
    """Multi-head attention with RoPE; the key projection has no bias."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.k_proj = nn.Linear(dim, dim, bias=False)
        self.v_proj = nn.Linear(dim, dim)
        self.q_proj = nn.Linear(dim, dim)
        self.out_proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
        """[B, T, C] → [B, T, C]."""
        q, k, v = (
            projection(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out_proj(y.transpose(1, 2).flatten(-2))


class Layer(nn.Module):
    """Pre-LayerNorm transformer layer with GELU."""

    def __init__(self, dim: int, heads: int, ffn: int) -> None:
        super().__init__()
        self.self_attn = Attention(dim, heads)
        self.self_attn_layer_norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, ffn)
        self.fc2 = nn.Linear(ffn, dim)
        self.final_layer_norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
        """[B, T, C] → [B, T, C]."""
        x = x + self.self_attn(self.self_attn_layer_norm(x), cos, sin, mask)
        return x + self.fc2(F.gelu(self.fc1(self.final_layer_norm(x))))


class Stack(nn.Module):
    """Base of the three transformers: layers over one RoPE table and one mask."""

    def make_layers(self, count: int, dim: int, heads: int, ffn: int, base: float) -> None:
        """Create `layers`; called by the subclasses' constructors."""
        self.layers = nn.ModuleList(Layer(dim, heads, ffn) for _ in range(count))
        self.rope_dim, self.rope_base = dim // heads, base

    def run(self, x: Tensor, mask: Tensor | None, skip: int = 0) -> Tensor:
        """All layers; the output of the 1-based layer `skip` is added at the end."""
        cos, sin = rope(x.shape[1], self.rope_dim, self.rope_base)
        kept: Tensor | float = 0.0
        for index, layer in enumerate(self.layers, start=1):
            x = layer(x, cos, sin, mask)
            if index == skip:
                kept = x
        return x + kept


class Encoder(Stack):
    """Log-mel [B, frames, mels] → vectors [B, T, C] at a quarter of the frame rate."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        dim = config["d_model"]
        self.skip = config["encoder_skip_layer_id"] or 0
        self.pool = config["avg_pooler"]
        self.conv1 = nn.Conv1d(config["n_mels"], dim, 3, padding=1)
        self.conv2 = nn.Conv1d(dim, dim, 3, stride=2, padding=1)
        self.make_layers(
            config["encoder_layers"],
            dim,
            config["encoder_attention_heads"],
            config["encoder_ffn_dim"],
            config["rope_theta"],
        )
        self.layer_norm = nn.LayerNorm(dim)
        down = nn.Conv1d(dim, dim, self.pool, stride=self.pool, bias=False)
        self.down_sample_layer = nn.Sequential(down, nn.GELU())
        self.down_sample_norm = nn.LayerNorm(dim)
        sizes = config["codebook_size"]
        self.quantizer = Quantizer(sizes[: config["num_quantizers"]], dim)

    def forward(self, mel: Tensor) -> Tensor:
        """Before quantization."""
        x = F.gelu(self.conv1(mel.transpose(1, 2)))
        x = F.gelu(self.conv2(x)).transpose(1, 2)
        x = self.layer_norm(self.run(x, None, self.skip))
        x = F.pad(x, (0, 0, 0, -x.shape[1] % self.pool))
        return self.down_sample_norm(self.down_sample_layer(x.transpose(1, 2)).transpose(1, 2))


class Upsample(nn.Module):
    """Transposed convolution, GroupNorm over channels and time, then causal trimming."""

    def __init__(self, dim: int, out: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose1d(dim, out, kernel, stride)
        self.norm = nn.GroupNorm(1, out)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, C] → [B, stride · T, out]."""
        y = self.norm(self.conv(x.transpose(1, 2))).transpose(1, 2)
        return y[:, : x.shape[1] * self.conv.stride[0]]


class Head(nn.Module):
    """Magnitude and phase per frame → waveform by overlap-add."""

    def __init__(self, dim: int, nfft: int, hop: int) -> None:
        super().__init__()
        self.hop = hop
        self.out = nn.Linear(dim, nfft + 2)
        self.istft = nn.Module()
        self.istft.register_buffer("window", torch.hann_window(nfft))

    def forward(self, x: Tensor) -> Tensor:
        """[B, frames, C] → [B, frames · hop]."""
        magnitude, phase = self.out(x).float().transpose(1, 2).chunk(2, dim=1)
        spectrum = torch.polar(magnitude.exp().clamp(max=100.0), phase)
        window, nfft, frames = self.istft.window, len(self.istft.window), x.shape[1]
        pieces = torch.fft.irfft(spectrum, n=nfft, dim=1) * window[:, None]
        size = (1, (frames - 1) * self.hop + nfft)
        shape = {"output_size": size, "kernel_size": (1, nfft), "stride": (1, self.hop)}
        trim = (nfft - self.hop) // 2
        wave = F.fold(pieces, **shape)[:, 0, 0, trim:-trim]
        squares = window.square()[None, :, None].expand(1, -1, frames)
        return wave / F.fold(squares, **shape)[0, 0, 0, trim:-trim]


class Vocoder(Stack):
    """Mel-like frames [B, frames, mels] → waveform, attention in a window."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        dim = config["vocoder_dim"]
        self.window = tuple(config["vocoder_attn_window_size"])
        self.embeddings = nn.Linear(config["n_mels"], dim, bias=False)
        self.make_layers(
            config["vocoder_num_layers"],
            dim,
            config["vocoder_attention_heads"],
            config["vocoder_intermediate_dim"],
            config["rope_theta"],
        )
        self.layer_norm = nn.LayerNorm(dim)
        self.head = Head(dim, config["nfft"], config["hop_length"])

    def forward(self, x: Tensor) -> Tensor:
        """[B, frames, mels] → [B, frames · hop]."""
        x = self.run(self.embeddings(x), window_mask(x.shape[1], *self.window))
        return self.head(self.layer_norm(x))


class Decoder(Stack):
    """Vectors [B, T, C] → waveform [B, 960 · T]."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        dim, pool = config["d_model"], config["avg_pooler"]
        self.dconv1 = Upsample(dim, dim, pool, pool)
        self.make_layers(
            config["decoder_layers"],
            dim,
            config["decoder_attention_heads"],
            config["decoder_ffn_dim"],
            config["rope_theta"],
        )
        self.layer_norm = nn.LayerNorm(dim)
        kernel, stride = config["decoder_kernel_size"], config["decoder_stride_size"]
        self.dconv2 = Upsample(dim, config["n_mels"], kernel, stride)
        self.vocoder = Vocoder(config)

    def forward(self, x: Tensor) -> Tensor:
        """Dequantized vectors to samples in about [-1, 1]."""
        x = self.dconv1(x)
        x = self.layer_norm(self.run(x, window_mask(x.shape[1], -1, 0)))
        return self.vocoder(self.dconv2(x))


class AudioTokenizer(nn.Module):
    """The whole audio tokenizer."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    @torch.no_grad()
    def encode(self, mel: Tensor) -> Tensor:
        """Log-mel [B, frames, mels] → codes [B, T, levels]."""
        x = self.encoder(mel)
        return self.encoder.quantizer(x.flatten(0, 1)).codes.unflatten(0, x.shape[:2])

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Codes [B, T, levels] → waveform [B, 960 · T]."""
        return self.decoder(self.encoder.quantizer.decode(codes))
