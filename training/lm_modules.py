"""The language model as PyTorch modules whose state dict has the released names.

A position of the backbone is a text token or an audio patch: `text` [B, P] holds
ids with `empty` at patches, `codes` [B, P, 4, 8] the patches' codes (the empty ids
elsewhere).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.audio_modules import rope, rotate


class RMSNorm(nn.Module):
    """Root-mean-square normalization."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Over the last axis."""
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class Attention(nn.Module):
    """Grouped-query attention with biases on q, k and v."""

    def __init__(self, dim: int, heads: int, kv_heads: int) -> None:
        super().__init__()
        self.head_dim = dim // heads
        self.q_proj = nn.Linear(dim, dim)
        self.k_proj = nn.Linear(dim, kv_heads * self.head_dim)
        self.v_proj = nn.Linear(dim, kv_heads * self.head_dim)
        self.o_proj = nn.Linear(dim, dim, bias=False)
        self.grouped = kv_heads != heads

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, causal: bool, cache: list[Tensor] | None
    ) -> Tensor:
        """[B, T, C] → [B, T, C]; `cache` is [] or [keys, values] and is replaced in place."""
        q, k, v = (
            projection(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if cache is not None:
            if cache:
                k, v = torch.cat((cache[0], k), 2), torch.cat((cache[1], v), 2)
            cache[:] = [k, v]
            causal = causal and q.shape[2] == k.shape[2] and q.shape[2] > 1
        if self.grouped:
            k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], 1) for x in (k, v))
        scores = (q @ k.transpose(-1, -2)).float() * self.head_dim**-0.5
        if causal:  # written out: for short sequences faster than the flash kernel's backward
            future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
            scores = scores.masked_fill(future, -torch.inf)
        y = scores.softmax(-1).to(v.dtype) @ v
        return self.o_proj(y.transpose(1, 2).flatten(-2))


class MLP(nn.Module):
    """Gated SiLU."""

    def __init__(self, dim: int, ffn: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(dim, ffn, bias=False)
        self.up_proj = nn.Linear(dim, ffn, bias=False)
        self.down_proj = nn.Linear(ffn, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[..., C] → [..., C]."""
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    """One Qwen2 layer."""

    def __init__(self, dim: int, heads: int, kv_heads: int, ffn: int, eps: float) -> None:
        super().__init__()
        self.self_attn = Attention(dim, heads, kv_heads)
        self.mlp = MLP(dim, ffn)
        self.input_layernorm = RMSNorm(dim, eps)
        self.post_attention_layernorm = RMSNorm(dim, eps)

    def forward(self, x: Tensor, *attention: Any) -> Tensor:
        """Pre-norm attention and MLP with residuals."""
        x = x + self.self_attn(self.input_layernorm(x), *attention)
        return x + self.mlp(self.post_attention_layernorm(x))


Cache = list[list[Tensor]]


class Qwen2(nn.Module):
    """Layers and final norm; `embed_tokens` only where there is a vocabulary."""

    def __init__(
        self,
        *,
        layers: int,
        dim: int,
        heads: int,
        kv_heads: int,
        ffn: int,
        base: float,
        eps: float,
        vocab: int = 0,
    ) -> None:
        super().__init__()
        if vocab:
            self.embed_tokens = nn.Embedding(vocab, dim)
        self.layers = nn.ModuleList(Layer(dim, heads, kv_heads, ffn, eps) for _ in range(layers))
        self.norm = RMSNorm(dim, eps)
        self.rope_dim, self.rope_base = dim // heads, base

    def new_cache(self) -> Cache:
        """An empty KV cache."""
        return [[] for _ in self.layers]

    def forward(
        self,
        x: Tensor,
        causal: bool = True,
        cache: Cache | None = None,
        seen: list[Tensor] | None = None,
    ) -> Tensor:
        """[B, T, C] → [B, T, C] after the final norm; `seen` collects every layer's output."""
        past = cache[0][0].shape[2] if cache and cache[0] else 0
        cos, sin = rope(past + x.shape[1], self.rope_dim, self.rope_base)
        for index, layer in enumerate(self.layers):
            own = cache[index] if cache is not None else None
            x = layer(x, cos[past:], sin[past:], causal, own)
            if seen is not None:
                seen.append(x)
        return self.norm(x)


def dashes(value: str | int, length: int) -> list[int]:
    """`"0-1-2"`, or one number for all channels."""
    parts = [int(part) for part in str(value).split("-")]
    return parts * length if len(parts) == 1 else parts


class LanguageModel(nn.Module):
    """Patch encoder, backbone and patch decoder."""

    def __init__(self, config: dict[str, Any], empty: int) -> None:
        super().__init__()
        self.config, self.empty = config, empty
        self.group, self.channels = config["group_size"], config["audio_channels"]
        sizes = dashes(config["speech_vocab_size"], self.channels)
        self.empty_codes = dashes(config["speech_zeroemb_idx"], self.channels)
        self.delays = dashes(config["delay_pattern"], self.channels)
        hidden, local = config["hidden_size"], config["local_dim"]
        into = config["input_local_dim"]
        shared = {"base": config["rope_theta"], "eps": config["rms_norm_eps"]}
        self.model = Qwen2(
            layers=config["num_hidden_layers"],
            dim=hidden,
            heads=config["num_attention_heads"],
            kv_heads=config["num_key_value_heads"],
            ffn=config["intermediate_size"],
            vocab=config["vocab_size"],
            **shared,
        )
        small = {**shared, "heads": config["local_attn_heads"]}
        small["kv_heads"] = small["heads"]
        self.input_local_transformer = Qwen2(
            layers=config["input_local_layers"], dim=into, ffn=4 * into, **small
        )
        self.local_transformer = Qwen2(
            layers=config["local_layers"], dim=local, ffn=config["local_ffn_dim"], **small
        )
        self.lm_head = nn.Linear(hidden, config["vocab_size"], bias=False)
        self.speech_embeddings = nn.ModuleList(nn.Embedding(size, into) for size in sizes)
        self.speech_group_downcast = nn.Linear(into * self.group, hidden, bias=False)
        self.hidden_states_downcast = nn.Linear(hidden, local, bias=False)
        self.local_transformer_lm_heads = nn.ModuleList(
            nn.Linear(local, size, bias=False) for size in sizes
        )
        if into != local:
            self.speech_embeddings_to_local = nn.Linear(into, local, bias=False)
        self.into_is_local = into == local

    def embed_codes(self, codes: Tensor) -> Tensor:
        """Codes [..., 8] → the sum of their embeddings; empty codes add zero."""
        total: Tensor | float = 0.0
        for channel, table in enumerate(self.speech_embeddings):
            index = codes[..., channel]
            total = total + table(index) * (index != self.empty_codes[channel])[..., None]
        return total

    def embed(self, text: Tensor, codes: Tensor) -> Tensor:
        """Backbone inputs [B, P, hidden]."""
        is_patch = text == self.empty
        x = self.model.embed_tokens(text) * ~is_patch[..., None]
        if is_patch.any():
            patches = self.embed_codes(codes[is_patch])
            full = not self.config["input_full_attention"]
            y = self.input_local_transformer(patches, causal=full)
            x = x.masked_scatter(
                is_patch[..., None], self.speech_group_downcast(y.flatten(1)).to(x.dtype)
            )
        return x

    def patch_logits(self, hidden: Tensor, codes: Tensor) -> list[Tensor]:
        """Teacher-forced logits per codebook, each [N, 4, size], for patches [N, 4, 8]."""
        steps = self.group + max(self.delays)
        inputs: list[Tensor] = [torch.zeros(0)] * steps
        inputs[0] = self.hidden_states_downcast(hidden)
        for step in range(1, steps):
            total = torch.zeros_like(inputs[0])
            for channel, delay in enumerate(self.delays):
                time = step - 1 - delay
                if 0 <= time < self.group:
                    total = total + self.to_local(channel, codes[:, time, channel])
            inputs[step] = total
        y = self.local_transformer(torch.stack(inputs, 1))
        return [
            head(y[:, delay : delay + self.group])
            for head, delay in zip(self.local_transformer_lm_heads, self.delays, strict=True)
        ]

    def to_local(self, channel: int, index: Tensor) -> Tensor:
        """Embedding of one codebook's codes as the patch decoder sees it."""
        x = self.speech_embeddings[channel](index)
        return x if self.into_is_local else self.speech_embeddings_to_local(x)
