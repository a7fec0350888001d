"""The two `config.json` files of the checkpoints as frozen dataclasses.

Keys are the upstream ones (Qwen2 plus MiMo-Audio's own, and the audio
tokenizer's). Everything the converter computes follows from these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mimo_edge.errors import MimoEdgeError

__all__ = ["AudioTokenizerConfig", "LanguageModelConfig", "Window"]

Window = tuple[int, int]
"""Attention window in positions (left, right); -1: unlimited on that side."""


class _Keys:
    """Typed access to a config.json whose complaints name the file and the key."""

    def __init__(self, raw: Mapping[str, Any], path: Path) -> None:
        self.raw = raw
        self.path = path

    def fail(self, key: str, why: str) -> MimoEdgeError:
        return MimoEdgeError(f"{self.path}: {key!r} {why}")

    def get(self, key: str, kind: type, default: Any = None) -> Any:
        value = self.raw.get(key)
        if value is None:
            if default is None:
                raise self.fail(key, "is missing: this is not a MiMo-Audio checkpoint.")
            value = default
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.fail(key, f"is {value!r}, not a {kind.__name__}.")
        return value

    def positive(self, key: str, default: int | None = None) -> int:
        value = self.get(key, int, default)
        if value < 1:
            raise self.fail(key, f"is {value}, and must be at least 1.")
        return int(value)

    def dash_list(self, key: str, length: int) -> tuple[int, ...]:
        """`"0-1-2"`, or one number for all `length` channels."""
        value = self.raw.get(key)
        if value is None:
            raise self.fail(key, "is missing: this is not a MiMo-Audio checkpoint.")
        try:
            numbers = tuple(int(part) for part in str(value).split("-"))
        except ValueError as error:
            raise self.fail(key, f"is {value!r}, not numbers joined by dashes.") from error
        if len(numbers) == 1:
            numbers *= length
        if len(numbers) != length:
            raise self.fail(
                key, f"has {len(numbers)} entries ({value!r}) but audio_channels is {length}."
            )
        return numbers

    def window(self, key: str, default: Window) -> Window:
        value = self.raw.get(key) or list(default)
        if (
            not isinstance(value, list)
            or len(value) != 2
            or not all(isinstance(side, int) and side >= -1 for side in value)
        ):
            raise self.fail(key, f"is {value!r}, not two numbers of at least -1.")
        return (value[0], value[1])

    def choice(self, key: str, supported: Any, default: Any) -> None:
        value = self.raw.get(key, default)
        if value != supported:
            raise self.fail(key, f"is {value!r}; only {supported!r} is supported.")

    def divides(self, key: str, by: str) -> None:
        if self.positive(key) % self.positive(by):
            raise self.fail(key, f"({self.raw[key]}) is not a multiple of {by} ({self.raw[by]}).")


@dataclass(frozen=True, kw_only=True)
class LanguageModelConfig:
    """`config.json` of MiMo-Audio-7B-Base and -Instruct (report, table 7)."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    rope_theta: float
    rms_norm_eps: float
    max_position_embeddings: int
    tie_word_embeddings: bool
    group_size: int
    audio_channels: int
    speech_vocab_sizes: tuple[int, ...]
    speech_empty_ids: tuple[int, ...]
    delays: tuple[int, ...]
    local_dim: int
    local_layers: int
    local_attn_heads: int
    local_ffn_dim: int
    input_local_dim: int
    input_local_layers: int
    input_full_attention: bool

    @classmethod
    def parse(cls, raw: Mapping[str, Any], path: Path) -> LanguageModelConfig:
        """From the parsed `config.json`; `path` is only for messages.

        Raises:
            MimoEdgeError: a key is missing, has the wrong type, or is not supported.
        """
        keys = _Keys(raw, path)
        channels = keys.positive("audio_channels")
        keys.choice("hidden_act", "silu", "silu")
        if raw.get("rope_scaling") is not None:
            raise keys.fail("rope_scaling", f"is {raw['rope_scaling']!r}; it must be null.")
        if raw.get("use_sliding_window"):
            raise keys.fail("use_sliding_window", "is true; only full attention is supported.")
        keys.divides("num_attention_heads", "num_key_value_heads")
        keys.divides("local_dim", "local_attn_heads")
        local_dim = keys.positive("local_dim")
        input_dim = keys.positive("input_local_dim", local_dim)
        if input_dim % keys.positive("local_attn_heads"):
            raise keys.fail("input_local_dim", f"({input_dim}) is no multiple of local_attn_heads.")
        vocab_sizes = keys.dash_list("speech_vocab_size", channels)
        empty_ids = keys.dash_list("speech_zeroemb_idx", channels)
        for size, empty in zip(vocab_sizes, empty_ids, strict=True):
            if not 0 <= empty < size:
                raise keys.fail(
                    "speech_zeroemb_idx", f"has {empty}, outside a vocabulary of {size}."
                )
        delays = keys.dash_list("delay_pattern", channels)
        if min(delays) < 0:
            raise keys.fail("delay_pattern", f"has a negative delay ({min(delays)}).")
        return cls(
            hidden_size=keys.positive("hidden_size"),
            num_hidden_layers=keys.positive("num_hidden_layers"),
            num_attention_heads=keys.positive("num_attention_heads"),
            num_key_value_heads=keys.positive("num_key_value_heads"),
            # The reference's config class has this default, whatever the width.
            head_dim=keys.positive("head_dim", 128),
            intermediate_size=keys.positive("intermediate_size"),
            vocab_size=keys.positive("vocab_size"),
            rope_theta=keys.get("rope_theta", float),
            rms_norm_eps=keys.get("rms_norm_eps", float),
            max_position_embeddings=keys.positive("max_position_embeddings"),
            tie_word_embeddings=keys.get("tie_word_embeddings", bool, False),
            group_size=keys.positive("group_size"),
            audio_channels=channels,
            speech_vocab_sizes=vocab_sizes,
            speech_empty_ids=empty_ids,
            delays=delays,
            local_dim=local_dim,
            local_layers=keys.positive("local_layers"),
            local_attn_heads=keys.positive("local_attn_heads"),
            local_ffn_dim=keys.positive("local_ffn_dim"),
            input_local_dim=input_dim,
            input_local_layers=keys.positive("input_local_layers"),
            input_full_attention=keys.get("input_full_attention", bool, False),
        )


@dataclass(frozen=True, kw_only=True)
class AudioTokenizerConfig:
    """`config.json` of MiMo-Audio-Tokenizer (report, table 2)."""

    sampling_rate: int
    nfft: int
    window_size: int
    hop_length: int
    n_mels: int
    fmin: float
    fmax: float
    kernel_size: int
    stride_size: int
    avg_pooler: int
    d_model: int
    encoder_layers: int
    encoder_attention_heads: int
    encoder_ffn_dim: int
    encoder_skip_layer_id: int
    """1-based layer whose output is added to the last one's; 0: none."""
    encoder_causal: bool
    encoder_window: Window
    decoder_layers: int
    decoder_attention_heads: int
    decoder_ffn_dim: int
    decoder_kernel_size: int
    decoder_stride_size: int
    decoder_window: Window
    rope_theta: float
    num_quantizers: int
    codebook_sizes: tuple[int, ...]
    vocoder_dim: int
    vocoder_num_layers: int
    vocoder_attention_heads: int
    vocoder_intermediate_dim: int
    vocoder_window: Window

    @classmethod
    def parse(cls, raw: Mapping[str, Any], path: Path) -> AudioTokenizerConfig:
        """From the parsed `config.json`; `path` is only for messages.

        Raises:
            MimoEdgeError: a key is missing, has the wrong type, or is not supported.
        """
        keys = _Keys(raw, path)
        keys.choice("ln_type", "LayerNorm", "LayerNorm")
        keys.choice("activation_function", "gelu", "gelu")
        keys.choice("position_embedding_type", "rope", "rope")
        keys.choice("rope_type", "default", "default")
        keys.choice("vocoder_padding", "same", "same")
        keys.choice("decoder_causal", True, True)
        for key, by in (
            ("d_model", "encoder_attention_heads"),
            ("d_model", "decoder_attention_heads"),
            ("vocoder_dim", "vocoder_attention_heads"),
        ):
            keys.divides(key, by)
        quantizers = keys.positive("num_quantizers")
        sizes = raw.get("codebook_size") or [1024]
        if isinstance(sizes, int):
            sizes = [sizes]
        if not isinstance(sizes, list) or not all(isinstance(s, int) and s > 0 for s in sizes):
            raise keys.fail("codebook_size", f"is {sizes!r}, not a list of positive numbers.")
        sizes = (sizes + [sizes[-1]] * quantizers)[:quantizers]
        rate = keys.positive("sampling_rate")
        nfft, hop = keys.positive("nfft"), keys.positive("hop_length")
        if nfft % 2 or (nfft - hop) % 2 or nfft < hop:
            raise keys.fail("nfft", f"({nfft}) and hop_length ({hop}) do not fit each other.")
        fmax = raw.get("fmax")
        return cls(
            sampling_rate=rate,
            nfft=nfft,
            window_size=keys.positive("window_size", nfft),
            hop_length=hop,
            n_mels=keys.positive("n_mels"),
            fmin=keys.get("fmin", float, 0.0),
            fmax=float(fmax) if fmax is not None else rate / 2,
            kernel_size=keys.positive("kernel_size"),
            stride_size=keys.positive("stride_size"),
            avg_pooler=keys.positive("avg_pooler"),
            d_model=keys.positive("d_model"),
            encoder_layers=keys.positive("encoder_layers"),
            encoder_attention_heads=keys.positive("encoder_attention_heads"),
            encoder_ffn_dim=keys.positive("encoder_ffn_dim"),
            encoder_skip_layer_id=raw.get("encoder_skip_layer_id") or 0,
            encoder_causal=keys.get("encoder_causal", bool, False),
            encoder_window=keys.window("encoder_attn_window_size", (-1, -1)),
            decoder_layers=keys.positive("decoder_layers"),
            decoder_attention_heads=keys.positive("decoder_attention_heads"),
            decoder_ffn_dim=keys.positive("decoder_ffn_dim"),
            decoder_kernel_size=keys.positive("decoder_kernel_size", 3),
            decoder_stride_size=keys.positive("decoder_stride_size", 2),
            decoder_window=keys.window("decoder_attn_window_size", (-1, -1)),
            rope_theta=keys.get("rope_theta", float, 10000.0),
            num_quantizers=quantizers,
            codebook_sizes=tuple(sizes),
            vocoder_dim=keys.positive("vocoder_dim"),
            vocoder_num_layers=keys.positive("vocoder_num_layers"),
            vocoder_attention_heads=keys.positive("vocoder_attention_heads"),
            vocoder_intermediate_dim=keys.positive("vocoder_intermediate_dim"),
            vocoder_window=keys.window("vocoder_attn_window_size", (40, 10)),
        )
