"""Codes and text ids → patch encoder → backbone → text logits and patch decoder → codes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .layers import Array, attention, linear, rms_norm, rope, silu, visible
from .weights import Tensors, load_config, load_tensors, special_tokens

NOT_A_TOKEN = -100
"""Fills the text row between the first columns of the groups."""


@dataclass
class Cache:
    """Keys and values of the positions seen so far, per layer."""

    keys: list[Array] = field(default_factory=list)
    values: list[Array] = field(default_factory=list)

    @property
    def length(self) -> int:
        return len(self.keys[0]) if self.keys else 0

    def extend(self, layer: int, key: Array, value: Array) -> tuple[Array, Array]:
        """Append one layer's new positions; all of them come back."""
        if layer == len(self.keys):
            self.keys.append(key)
            self.values.append(value)
        else:
            self.keys[layer] = np.concatenate([self.keys[layer], key])
            self.values[layer] = np.concatenate([self.values[layer], value])
        return self.keys[layer], self.values[layer]


@dataclass(frozen=True)
class Qwen2:
    """A stack of Qwen2 layers with the norm after them; the three transformers are this."""

    tensors: Tensors
    prefix: str
    layers: int
    heads: int
    kv_heads: int
    theta: float
    eps: float
    causal: bool = True

    def __call__(self, x: Array, cache: Cache | None = None) -> Array:
        """Embeddings [n, width] of the next n positions → their final-norm outputs."""
        cache = cache if cache is not None else Cache()
        start = cache.length
        for layer in range(self.layers):
            prefix = f"{self.prefix}layers.{layer}."
            h = self._norm(x, prefix + "input_layernorm.weight")
            x = x + self._attention(h, prefix + "self_attn.", start, cache, layer)
            h = self._norm(x, prefix + "post_attention_layernorm.weight")
            x = x + self._feed_forward(h, prefix + "mlp.")
        return self._norm(x, self.prefix + "norm.weight")

    def _norm(self, x: Array, name: str) -> Array:
        return rms_norm(x, self.tensors[name], self.eps)

    def _attention(self, x: Array, prefix: str, start: int, cache: Cache, layer: int) -> Array:
        t, n = self.tensors, len(x)
        positions = start + np.arange(n)

        def project(name: str, heads: int) -> Array:
            weight, bias = t[f"{prefix}{name}_proj.weight"], t[f"{prefix}{name}_proj.bias"]
            return linear(x, weight, bias).reshape(n, heads, -1)

        q = rope(project("q", self.heads), positions, self.theta)
        k = rope(project("k", self.kv_heads), positions, self.theta)
        k, v = cache.extend(layer, k, project("v", self.kv_heads))
        seen = visible(positions, np.arange(len(k)), -1, 0 if self.causal else -1)
        return linear(attention(q, k, v, seen), t[prefix + "o_proj.weight"])

    def _feed_forward(self, x: Array, prefix: str) -> Array:
        t = self.tensors
        gate = silu(linear(x, t[prefix + "gate_proj.weight"]))
        up = linear(x, t[prefix + "up_proj.weight"])
        return linear(gate * up, t[prefix + "down_proj.weight"])


class LanguageModel:
    """The language model of one checkpoint folder, evaluated in `dtype`."""

    def __init__(self, folder: Path, dtype: DTypeLike = np.float32) -> None:
        c = self.config = load_config(folder)
        self.tensors = load_tensors(folder, dtype)
        self.special_tokens = special_tokens(folder)
        self.empty_token = self.special_tokens["<|empty|>"]
        self.group: int = c["group_size"]
        self.channels: int = c["audio_channels"]
        self.delays = self._per_channel("delay_pattern")
        self.vocab_sizes = self._per_channel("speech_vocab_size")
        self.empty_codes = self._per_channel("speech_zeroemb_idx")
        heads = c["local_attn_heads"]
        causal_input = not c.get("input_full_attention", False)
        self.backbone = self._stack(
            "model.", "num_hidden_layers", c["num_attention_heads"], c["num_key_value_heads"]
        )
        self.patch_encoder = self._stack(
            "input_local_transformer.", "input_local_layers", heads, heads, causal_input
        )
        self.patch_decoder = self._stack("local_transformer.", "local_layers", heads, heads)

    # -- into the backbone --------------------------------------------------------

    def encode_patches(self, codes: Array) -> Array:
        """Codes [patches, group, channels] → backbone embeddings [patches, hidden]."""
        downcast = self.tensors["speech_group_downcast.weight"]
        outputs = [self.patch_encoder(self._embed_codes(patch)).reshape(-1) for patch in codes]
        return linear(np.array(outputs, downcast.dtype).reshape(-1, downcast.shape[1]), downcast)

    def embed(self, matrix: Array) -> Array:
        """Prompt matrix [1 + channels, group · positions] → embeddings [positions, hidden]."""
        text = matrix[0, :: self.group]
        patches = matrix[1:].reshape(self.channels, -1, self.group).transpose(1, 2, 0)
        is_patch = text == self.empty_token
        table = self.tensors["model.embed_tokens.weight"]
        embeds = np.zeros((len(text), table.shape[1]), table.dtype)
        embeds[~is_patch] = table[text[~is_patch]]
        embeds[is_patch] = self.encode_patches(patches[is_patch])
        return embeds

    # -- out of the backbone ------------------------------------------------------

    def hidden(self, embeds: Array, cache: Cache | None = None) -> Array:
        """Embeddings [n, hidden] → the backbone's outputs after its final norm [n, hidden]."""
        return self.backbone(embeds, cache)

    def logits(self, hidden: Array) -> Array:
        """Text logits [..., vocab]."""
        tied = self.config.get("tie_word_embeddings", False)
        name = "model.embed_tokens.weight" if tied else "lm_head.weight"
        return linear(hidden, self.tensors[name])

    def decoder_input(self, hidden: Array) -> Array:
        """The patch decoder's input of step 0 [local_dim] from a backbone output [hidden]."""
        return linear(hidden, self.tensors["hidden_states_downcast.weight"])

    def decode_patch(self, first: Array) -> Array:
        """Step-0 input [local_dim] → greedy codes [group, channels]."""
        return self.decode_patch_logits(first)[0]

    def decode_patch_logits(self, first: Array) -> tuple[Array, list[dict[int, Array]]]:
        """As `decode_patch`, and per step the logits of the active codebooks {channel: [vocab]}."""
        cache = Cache()
        codes = np.zeros((self.group, self.channels), np.int32)
        steps: list[dict[int, Array]] = []
        x = first
        for step in range(self.group + max(self.delays)):
            output = self.patch_decoder(x[None], cache)[0]
            x = np.zeros_like(first)
            steps.append({})
            for channel, delay in enumerate(self.delays):
                if not delay <= step < delay + self.group:
                    continue
                head = self.tensors[f"local_transformer_lm_heads.{channel}.weight"]
                scores = steps[-1][channel] = linear(output, head)
                allowed = scores.copy()
                allowed[self.empty_codes[channel]] = -np.inf
                code = codes[step - delay, channel] = allowed.argmax()
                x = x + self._to_local(self.tensors[f"speech_embeddings.{channel}.weight"][code])
        return codes, steps

    def generate(self, matrix: Array, stops: Collection[int], max_new: int) -> Array:
        """What greedy generation appends to a prompt [1 + channels, group · steps].

        The text row repeats its id over the group, as the reference writes it.
        """
        cache, new = Cache(), []
        for _ in range(max_new):
            h = self.hidden(self.embed(matrix), cache)[-1]
            token = int(self.logits(h).argmax())
            matrix = np.empty((1 + self.channels, self.group), np.int32)
            matrix[0] = token
            matrix[1:] = np.array(self.empty_codes)[:, None]
            if token == self.empty_token:
                matrix[1:] = self.decode_patch(self.decoder_input(h)).T
            new.append(matrix)
            if token in stops:
                break
        return np.concatenate(new, axis=1)

    # -- prompts ------------------------------------------------------------------

    def text_positions(self, ids: Collection[int]) -> Array:
        """Text ids as a piece of a prompt matrix."""
        piece = np.full((1 + self.channels, self.group * len(ids)), NOT_A_TOKEN, np.int32)
        piece[0, :: self.group] = list(ids)
        piece[1:] = np.array(self.empty_codes)[:, None]
        return piece

    def audio_positions(self, codes: Array) -> Array:
        """Codes [steps, ≥ channels] as a piece of a prompt matrix, padded to whole patches."""
        codes = self.to_patches(codes).reshape(-1, self.channels)
        piece = np.full((1 + self.channels, len(codes)), NOT_A_TOKEN, np.int32)
        piece[0, :: self.group] = self.empty_token
        piece[1:] = codes.T
        return piece

    def to_patches(self, codes: Array) -> Array:
        """Codes [steps, ≥ channels] → [patches, group, channels], the last step repeated."""
        codes = codes[:, : self.channels]
        missing = -len(codes) % self.group
        padded = np.concatenate([codes, np.repeat(codes[-1:], missing, axis=0)])
        return padded.reshape(-1, self.group, self.channels)

    # -- parts --------------------------------------------------------------------

    def _embed_codes(self, codes: Array) -> Array:
        """Codes [n, channels] → the sums of their embeddings [n, input_local_dim]."""
        x = np.zeros((len(codes), self.config["input_local_dim"]), self._dtype)
        for channel, empty in enumerate(self.empty_codes):
            rows = self.tensors[f"speech_embeddings.{channel}.weight"][codes[:, channel]]
            x += np.where(codes[:, channel, None] == empty, 0, rows)
        return x

    def _to_local(self, x: Array) -> Array:
        bridge = self.tensors.get("speech_embeddings_to_local.weight")
        return x if bridge is None else linear(x, bridge)

    @property
    def _dtype(self) -> np.dtype[Any]:
        return self.tensors["speech_group_downcast.weight"].dtype

    def _stack(
        self, prefix: str, layers: str, heads: int, kv_heads: int, causal: bool = True
    ) -> Qwen2:
        c = self.config
        theta, eps = float(c["rope_theta"]), c["rms_norm_eps"]
        return Qwen2(self.tensors, prefix, c[layers], heads, kv_heads, theta, eps, causal)

    def _per_channel(self, key: str) -> list[int]:
        """A dash list, or one number for all channels."""
        numbers = [int(part) for part in str(self.config[key]).split("-")]
        return numbers * self.channels if len(numbers) == 1 else numbers
