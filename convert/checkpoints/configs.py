"""The two `config.json` files of the checkpoints as frozen dataclasses.

Keys are the upstream ones (Qwen2 plus MiMo-Audio's own, and the audio
tokenizer's). Everything the converter computes follows from these.

The ranges are a bundle's own, and those of what a bundle does not repeat: no config, whoever
wrote it, makes a conversion run on, fill the memory, or end in a bundle that does not load.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, Strict

from mimo_edge.bundle import manifest_bounds as bounds
from mimo_edge.bundle.manifest import Prompts
from mimo_edge.bundle.untrusted_json import shown

from .asr_config import check_audio_config, prompts_of
from .config_keys import ConfigKeys

__all__ = ["AudioTokenizerConfig", "LanguageModelConfig", "Window"]

_FINITE = ConfigDict(extra="ignore", allow_inf_nan=False)

_MOST_SIZES = 256
"""Entries of a list with one per quantizer, as many as a bundle may have."""
_USUAL_CODEBOOK = 1024
"""Entries of every codebook where a config does not say, as upstream."""

Flag = Annotated[bool, Strict()]
Width = Annotated[bounds.Width, Strict()]
Layers = Annotated[bounds.Layers, Strict()]
Heads = Annotated[bounds.Heads, Strict()]
Codebooks = Annotated[bounds.Codebooks, Strict()]
CodebookSize = Annotated[bounds.CodebookSize, Strict()]
Samples = Annotated[bounds.Samples, Strict()]
Frequency = Annotated[bounds.Frequency, Strict()]
Taps = Annotated[int, Strict(), Field(ge=1, le=64)]
"""Positions that a convolution joins or skips."""
Theta = Annotated[float, Strict(), Field(ge=1, le=1e12)]
Side = Annotated[int, Strict(), Field(ge=-1, le=1 << 14)]

Window = tuple[Side, Side]
"""Attention window in positions (left, right); -1: unlimited on that side."""


@dataclass(frozen=True, kw_only=True)
class LanguageModelConfig:
    """`config.json` of MiMo-Audio-7B-Base and -Instruct (report, table 7), or MiMo-V2.5-ASR."""

    __pydantic_config__: ClassVar[ConfigDict] = _FINITE

    hidden_size: Width
    num_hidden_layers: Layers
    num_attention_heads: Heads
    num_key_value_heads: Heads
    head_dim: Width = 128
    """The reference's config class has this default, whatever the width."""
    intermediate_size: Width
    vocab_size: Annotated[bounds.Vocabulary, Strict()]
    rope_theta: Theta
    rms_norm_eps: Annotated[float, Strict(), Field(gt=0, le=0.1)]
    max_position_embeddings: Annotated[bounds.Positions, Strict()]
    tie_word_embeddings: Flag = False
    group_size: Annotated[bounds.Steps, Strict()]
    audio_channels: Codebooks
    speech_vocab_sizes: Annotated[tuple[CodebookSize, ...], Field(alias="speech_vocab_size")]
    speech_empty_ids: Annotated[
        tuple[Annotated[bounds.CodeId, Strict()], ...], Field(alias="speech_zeroemb_idx")
    ]
    delays: Annotated[tuple[Annotated[bounds.Delay, Strict()], ...], Field(alias="delay_pattern")]
    local_dim: Width
    local_layers: Layers
    local_attn_heads: Heads
    local_ffn_dim: Width
    input_local_dim: Width
    input_local_layers: Layers
    input_full_attention: Flag = False
    prompts: Prompts = "mimo-audio"
    """Told by the architecture's name, see `asr_config`; no key of the file."""

    @property
    def listens_only(self) -> bool:
        """Whether it was never trained to speak, though it may have the weights of that half."""
        return self.prompts == "mimo-v2.5-asr"

    @classmethod
    def parse(cls, raw: Mapping[str, Any], path: Path) -> LanguageModelConfig:
        """From the parsed `config.json`; `path` is only for messages.

        Raises:
            MimoEdgeError: a key is missing, has the wrong type, is out of its range, or asks for
                what is not supported.
        """
        keys = ConfigKeys(raw=raw, path=path)
        channels = keys.value("audio_channels", Codebooks)
        keys.choice("hidden_act", "silu")
        keys.choice("use_sliding_window", False)
        _check_layer_types(keys)
        if raw.get("quantization_config") is not None:
            raise keys.fail("quantization_config", "is there; use the checkpoint in bfloat16.")
        lists = ("speech_vocab_size", "speech_zeroemb_idx", "delay_pattern")
        changes: dict[str, Any] = {key: keys.dash_list(key, channels) for key in lists}
        changes["rope_theta"] = keys.rope_theta()
        if raw.get("input_local_dim") in (None, 0):
            changes["input_local_dim"] = raw.get("local_dim")
        changes["prompts"] = prompts_of(raw)
        config = keys.build(cls, changes)
        _check_language_model(config, keys)
        return config


def _check_layer_types(keys: ConfigKeys) -> None:
    """transformers 5 spells out what every layer attends to."""
    types = keys.raw.get("layer_types")
    others = [kind for kind in types if kind != "full_attention"] if isinstance(types, list) else []
    if others or not isinstance(types, list | None):
        wrong = shown(others[0] if others else types)
        raise keys.fail("layer_types", f"has {wrong}; only 'full_attention' is supported.")


def _check_language_model(config: LanguageModelConfig, keys: ConfigKeys) -> None:
    """What the keys have to be to each other."""
    _check_multiple(config, keys, "num_attention_heads", "num_key_value_heads")
    _check_multiple(config, keys, "local_dim", "local_attn_heads")
    _check_multiple(config, keys, "input_local_dim", "local_attn_heads")
    for size, empty in zip(config.speech_vocab_sizes, config.speech_empty_ids, strict=True):
        if empty >= size:
            raise keys.fail("speech_zeroemb_idx", f"has {empty}, outside a vocabulary of {size}.")
    if config.listens_only:
        check_audio_config(
            keys,
            heads=config.local_attn_heads,
            width=config.input_local_dim,
            hidden=config.hidden_size,
        )


def _check_multiple(config: object, keys: ConfigKeys, key: str, by: str) -> None:
    value, divisor = getattr(config, key), getattr(config, by)
    if value % divisor:
        raise keys.fail(key, f"({value}) is not a multiple of {by} ({divisor}).")


@dataclass(frozen=True, kw_only=True)
class AudioTokenizerConfig:
    """`config.json` of MiMo-Audio-Tokenizer (report, table 2)."""

    __pydantic_config__: ClassVar[ConfigDict] = _FINITE

    sampling_rate: Annotated[bounds.Rate, Strict()]
    nfft: Samples
    window_size: Samples
    hop_length: Samples
    n_mels: Annotated[bounds.Mels, Strict()]
    fmin: Frequency = 0.0
    fmax: Frequency
    kernel_size: Taps
    stride_size: Taps
    avg_pooler: Taps
    d_model: Width
    encoder_layers: Layers
    encoder_attention_heads: Heads
    encoder_ffn_dim: Width
    encoder_skip_layer_id: Annotated[int, Strict(), Field(ge=0)] = 0
    """1-based layer whose output is added to the last one's; 0: none."""
    encoder_causal: Flag = False
    encoder_window: Annotated[Window, Field(alias="encoder_attn_window_size")] = (-1, -1)
    decoder_layers: Layers
    decoder_attention_heads: Heads
    decoder_ffn_dim: Width
    decoder_kernel_size: Taps = 3
    decoder_stride_size: Taps = 2
    decoder_window: Annotated[Window, Field(alias="decoder_attn_window_size")] = (-1, -1)
    rope_theta: Theta = 10000.0
    num_quantizers: Codebooks
    codebook_sizes: Annotated[
        tuple[CodebookSize, ...],
        Field(alias="codebook_size", min_length=1, max_length=_MOST_SIZES),
    ]
    """One per quantizer; a list that is shorter goes on with its last number."""
    vocoder_dim: Width
    vocoder_num_layers: Layers
    vocoder_attention_heads: Heads
    vocoder_intermediate_dim: Width
    vocoder_window: Annotated[Window, Field(alias="vocoder_attn_window_size")] = (40, 10)

    @classmethod
    def parse(cls, raw: Mapping[str, Any], path: Path) -> AudioTokenizerConfig:
        """From the parsed `config.json`; `path` is only for messages.

        Raises:
            MimoEdgeError: a key is missing, has the wrong type, is out of its range, or asks for
                what is not supported.
        """
        keys = ConfigKeys(raw=raw, path=path)
        for key, supported in (
            ("ln_type", "LayerNorm"),
            ("activation_function", "gelu"),
            ("position_embedding_type", "rope"),
            ("rope_type", "default"),
            ("vocoder_padding", "same"),
            ("decoder_causal", True),
        ):
            keys.choice(key, supported)
        rate = keys.value("sampling_rate", Annotated[int, Strict()])
        changes: dict[str, Any] = {"rope_theta": keys.rope_theta()}
        for part in ("encoder", "decoder", "vocoder"):
            changes[f"{part}_attn_window_size"] = keys.window(f"{part}_attn_window_size")
        if raw.get("window_size") is None:
            changes["window_size"] = raw.get("nfft")
        if raw.get("fmax") is None:
            changes["fmax"] = rate / 2
        changes["codebook_size"] = _codebook_sizes(raw)
        config = keys.build(cls, changes)
        _check_audio_tokenizer(config, keys)
        return config


def _codebook_sizes(raw: Mapping[str, Any]) -> Any:
    """A number or a list as a tuple with an entry for every quantizer."""
    sizes, count = raw.get("codebook_size"), raw.get("num_quantizers")
    if sizes is None:
        sizes = _USUAL_CODEBOOK
    if type(sizes) is int:
        sizes = [sizes]
    if not isinstance(sizes, list):
        return sizes
    if type(count) is int and sizes:
        missing = min(count, _MOST_SIZES) - len(sizes)
        return tuple(sizes[: max(count, 0)] + sizes[-1:] * missing)
    return tuple(sizes)


def _check_audio_tokenizer(config: AudioTokenizerConfig, keys: ConfigKeys) -> None:
    """What the keys have to be to each other."""
    _check_multiple(config, keys, "d_model", "encoder_attention_heads")
    _check_multiple(config, keys, "d_model", "decoder_attention_heads")
    _check_multiple(config, keys, "vocoder_dim", "vocoder_attention_heads")
    nfft, hop = config.nfft, config.hop_length
    if nfft % 2 or (nfft - hop) % 2 or nfft < hop:
        raise keys.fail("nfft", f"({nfft}) and hop_length ({hop}) do not fit each other.")
    if config.window_size > nfft:
        raise keys.fail("window_size", f"({config.window_size}) is larger than nfft ({nfft}).")
    if not config.fmin < config.fmax <= config.sampling_rate / 2:
        raise keys.fail(
            "fmax",
            f"({config.fmax:g} Hz) must lie above fmin ({config.fmin:g}) and at most at half the "
            f"sampling_rate ({config.sampling_rate}).",
        )
    if config.decoder_kernel_size < config.decoder_stride_size:
        raise keys.fail(
            "decoder_kernel_size",
            f"({config.decoder_kernel_size}) is less than decoder_stride_size "
            f"({config.decoder_stride_size}), which leaves frames empty.",
        )
    if config.encoder_skip_layer_id > config.encoder_layers:
        raise keys.fail(
            "encoder_skip_layer_id",
            f"({config.encoder_skip_layer_id}) is past the last of {config.encoder_layers} layers.",
        )
