"""The tensors of a checkpoint in the public layout, with names, shapes and spreads.

The spreads follow those of the golden checkpoint: gains a little above one, so
that activations stay within a few units and codes and tokens vary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "TensorSpec", "audio_tensors", "language_tensors"]

Floats = NDArray[np.float32]

LANGUAGE_GAIN = 1.6
HEAD_GAIN = 3.2
VECTOR_SPREAD = 0.1


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """One tensor: normal noise, or `values` as they are."""

    name: str
    shape: tuple[int, ...]
    mean: float = 0.0
    std: float = 0.0
    row_scales: Mapping[int, float] = field(default_factory=dict)
    """Rows that are made larger: a token whose logit is to win more often."""
    values: Floats | None = None


def _weight(name: str, *shape: int, gain: float = 1.0, **more: Any) -> TensorSpec:
    """Rows of `fan in` values whose sum of products keeps the scale of what comes in."""
    return TensorSpec(name=name, shape=shape, std=gain / prod(shape[1:]) ** 0.5, **more)


def _vector(name: str, width: int, mean: float = 0.0) -> TensorSpec:
    return TensorSpec(name=name, shape=(width,), mean=mean, std=VECTOR_SPREAD)


def _norm(prefix: str, width: int) -> Iterator[TensorSpec]:
    """A LayerNorm or GroupNorm."""
    yield _vector(f"{prefix}.weight", width, 1.0)
    yield _vector(f"{prefix}.bias", width)


# -- the language model -----------------------------------------------------------


def _qwen2(
    prefix: str, layers: int, width: int, heads: int, kv_heads: int, head_dim: int, ffn: int
) -> Iterator[TensorSpec]:
    for index in range(layers):
        layer = f"{prefix}.layers.{index}"
        yield _vector(f"{layer}.input_layernorm.weight", width, 1.0)
        for name, count in (("q", heads), ("k", kv_heads), ("v", kv_heads)):
            projection = f"{layer}.self_attn.{name}_proj"
            yield _weight(f"{projection}.weight", count * head_dim, width, gain=LANGUAGE_GAIN)
            yield _vector(f"{projection}.bias", count * head_dim)
        out = f"{layer}.self_attn.o_proj.weight"
        yield _weight(out, width, heads * head_dim, gain=LANGUAGE_GAIN)
        yield _vector(f"{layer}.post_attention_layernorm.weight", width, 1.0)
        for name in ("gate", "up"):
            yield _weight(f"{layer}.mlp.{name}_proj.weight", ffn, width, gain=LANGUAGE_GAIN)
        yield _weight(f"{layer}.mlp.down_proj.weight", width, ffn, gain=LANGUAGE_GAIN)
    yield _vector(f"{prefix}.norm.weight", width, 1.0)


def per_channel(config: Mapping[str, Any], key: str) -> list[int]:
    """A dash list, or one number for all channels."""
    numbers = [int(part) for part in str(config[key]).split("-")]
    return numbers * config["audio_channels"] if len(numbers) == 1 else numbers


def language_tensors(c: Mapping[str, Any], row_scales: Mapping[int, float]) -> Iterator[TensorSpec]:
    """Every tensor of a language model with this config; `row_scales` are lm_head's."""
    hidden, local, inner = c["hidden_size"], c["local_dim"], c["input_local_dim"]
    heads, kv_heads = c["num_attention_heads"], c["num_key_value_heads"]
    head_dim = c.get("head_dim") or hidden // heads
    table = (c["vocab_size"], hidden)
    yield _weight("model.embed_tokens.weight", *table, gain=LANGUAGE_GAIN)
    ffn, layers = c["intermediate_size"], c["num_hidden_layers"]
    yield from _qwen2("model", layers, hidden, heads, kv_heads, head_dim, ffn)
    yield _weight("lm_head.weight", *table, gain=LANGUAGE_GAIN, row_scales=row_scales)

    small = c["local_attn_heads"]
    layers, dim = c["input_local_layers"], inner // small
    yield from _qwen2("input_local_transformer", layers, inner, small, small, dim, 4 * inner)
    layers, dim = c["local_layers"], local // small
    yield from _qwen2("local_transformer", layers, local, small, small, dim, c["local_ffn_dim"])
    for channel, size in enumerate(per_channel(c, "speech_vocab_size")):
        yield _weight(f"speech_embeddings.{channel}.weight", size, inner, gain=LANGUAGE_GAIN)
        head = f"local_transformer_lm_heads.{channel}.weight"
        yield _weight(head, size, local, gain=HEAD_GAIN)
    grouped = c["group_size"] * inner
    yield _weight("speech_group_downcast.weight", hidden, grouped, gain=LANGUAGE_GAIN)
    yield _weight("hidden_states_downcast.weight", local, hidden, gain=LANGUAGE_GAIN)
    if inner != local:
        yield _weight("speech_embeddings_to_local.weight", local, inner, gain=LANGUAGE_GAIN)


# -- the audio tokenizer ----------------------------------------------------------


def _audio_layers(prefix: str, layers: int, width: int, ffn: int) -> Iterator[TensorSpec]:
    for index in range(layers):
        layer = f"{prefix}.layers.{index}"
        for name in ("q", "k", "v", "out"):
            yield _weight(f"{layer}.self_attn.{name}_proj.weight", width, width)
            if name != "k":
                yield _vector(f"{layer}.self_attn.{name}_proj.bias", width)
        yield from _norm(f"{layer}.self_attn_layer_norm", width)
        yield _weight(f"{layer}.fc1.weight", ffn, width)
        yield _vector(f"{layer}.fc1.bias", ffn)
        yield _weight(f"{layer}.fc2.weight", width, ffn)
        yield _vector(f"{layer}.fc2.bias", width)
        yield from _norm(f"{layer}.final_layer_norm", width)


def _audio_encoder(c: Mapping[str, Any]) -> Iterator[TensorSpec]:
    d, kernel, pool = c["d_model"], c["kernel_size"], c["avg_pooler"]
    for name, width in (("conv1", c["n_mels"]), ("conv2", d)):
        yield _weight(f"encoder.{name}.weight", d, width, kernel)
        yield _vector(f"encoder.{name}.bias", d)
    yield from _audio_layers("encoder", c["encoder_layers"], d, c["encoder_ffn_dim"])
    yield from _norm("encoder.layer_norm", d)
    if pool != 1:
        yield _weight("encoder.down_sample_layer.0.weight", d, d, pool)
        yield from _norm("encoder.down_sample_norm", d)
    yield from _codebooks(c)


def _codebooks(c: Mapping[str, Any]) -> Iterator[TensorSpec]:
    """The codebooks, and beside them what training left in the checkpoint."""
    d, sizes = c["d_model"], c["codebook_size"]
    sizes = [sizes] if isinstance(sizes, int) else list(sizes)
    sizes += [sizes[-1]] * (c["num_quantizers"] - len(sizes))
    for stage, size in enumerate(sizes):
        book = f"encoder.quantizer.vq.layers.{stage}._codebook"
        # A row should take about as much off the residual as it adds to it.
        yield TensorSpec(name=f"{book}.embed", shape=(size, d), std=4 / d**0.5)
        yield TensorSpec(name=f"{book}.embed_avg", shape=(size, d), std=1.0)
        yield TensorSpec(name=f"{book}.cluster_size", shape=(size,), mean=10.0)
        yield TensorSpec(name=f"{book}.inited", shape=(1,), mean=1.0)


def _audio_decoder(c: Mapping[str, Any], seed: int) -> Iterator[TensorSpec]:
    d, mels, pool = c["d_model"], c["n_mels"], c["avg_pooler"]
    upsamplers = [("dconv1", d, pool)] if pool != 1 else []
    for name, out, kernel in [*upsamplers, ("dconv2", mels, c["decoder_kernel_size"])]:
        yield _weight(f"decoder.{name}.conv.weight", d, out, kernel)
        yield _vector(f"decoder.{name}.conv.bias", out)
        yield from _norm(f"decoder.{name}.norm", out)
    yield from _audio_layers("decoder", c["decoder_layers"], d, c["decoder_ffn_dim"])
    yield from _norm("decoder.layer_norm", d)

    dim, size = c["vocoder_dim"], c["nfft"]
    ffn, layers = c["vocoder_intermediate_dim"], c["vocoder_num_layers"]
    yield _weight("decoder.vocoder.embeddings.weight", dim, mels)
    yield from _audio_layers("decoder.vocoder", layers, dim, ffn)
    yield from _norm("decoder.vocoder.layer_norm", dim)
    yield _weight("decoder.vocoder.head.out.weight", size + 2, dim, gain=0.3)
    # Log-magnitudes around -3 give a waveform of a few tenths; phases are around 0.
    bias = np.random.default_rng([seed, 1]).standard_normal(size + 2) * VECTOR_SPREAD
    bias[: size // 2 + 1] -= 3
    name = "decoder.vocoder.head.out.bias"
    yield TensorSpec(name=name, shape=(size + 2,), values=bias.astype(np.float32))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    # Rounded to the checkpoint's number type, as upstream: the window that counts is this one.
    name, values = "decoder.vocoder.head.istft.window", window.astype(np.float32)
    yield TensorSpec(name=name, shape=(size,), values=values)


def audio_tensors(config: Mapping[str, Any], seed: int) -> Iterator[TensorSpec]:
    """Every tensor of an audio tokenizer with this config."""
    yield from _audio_encoder(config)
    yield from _audio_decoder(config, seed)
