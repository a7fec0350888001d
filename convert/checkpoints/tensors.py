"""The tensors of a checkpoint beside the backbone's: those that are read, upstream name → shape,
and those that are known and not needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from .checkpoint import Checkpoint
from .configs import AudioTokenizerConfig, LanguageModelConfig

__all__ = [
    "NOT_NEEDED",
    "SPEAKING_TENSORS",
    "RecordedWeights",
    "ShapesOnly",
    "audio_tensors",
    "patch_tensors",
    "unread_tensors",
]

Shapes = dict[str, tuple[int, ...]]

_TRAINING_STATE = "the codebook's training: how often and by what its rows were chosen"
_EMBEDS_CODES = "a table of text embeddings, which the reference removes: only codes go in here"
NOT_NEEDED: Mapping[str, str] = MappingProxyType(
    {
        "encoder.quantizer.vq.layers.*._codebook.embed_avg": _TRAINING_STATE,
        "encoder.quantizer.vq.layers.*._codebook.cluster_size": _TRAINING_STATE,
        "encoder.quantizer.vq.layers.*._codebook.inited": _TRAINING_STATE,
        "*.rotary_emb.inv_freq": "computed from rope_theta; the reference does not read it either",
        "model.mtp_layers.*": "drafts of further text tokens, which MiMo's base model has",
        "local_transformer.embed_tokens.weight": _EMBEDS_CODES,
        "input_local_transformer.embed_tokens.weight": _EMBEDS_CODES,
    }
)
"""Pattern of upstream names (`*`: anything) → why what they name has no part in any answer."""

SPEAKING_TENSORS = (
    *("decoder.", "hidden_states_downcast.", "local_transformer"),
    "speech_embeddings_to_local.",
)
"""Beginnings of the upstream names of what only the speaking half reads."""


def patch_tensors(config: LanguageModelConfig) -> Shapes:
    """Patch encoder and patch decoder, in the language model's checkpoint."""
    c = config
    shapes: Shapes = {
        "speech_group_downcast.weight": (c.hidden_size, c.group_size * c.input_local_dim),
        "hidden_states_downcast.weight": (c.local_dim, c.hidden_size),
    }
    for channel, size in enumerate(c.speech_vocab_sizes):
        shapes[f"speech_embeddings.{channel}.weight"] = (size, c.input_local_dim)
        shapes[f"local_transformer_lm_heads.{channel}.weight"] = (size, c.local_dim)
    if c.input_local_dim != c.local_dim:
        shapes["speech_embeddings_to_local.weight"] = (c.local_dim, c.input_local_dim)
    for prefix, layers, width, ffn in (
        ("input_local_transformer", c.input_local_layers, c.input_local_dim, 4 * c.input_local_dim),
        ("local_transformer", c.local_layers, c.local_dim, c.local_ffn_dim),
    ):
        shapes |= dict(_qwen2_tensors(prefix, layers, width, ffn))
    return shapes


def _qwen2_tensors(
    prefix: str, layers: int, width: int, ffn: int
) -> Iterator[tuple[str, tuple[int, ...]]]:
    for index in range(layers):
        layer = f"{prefix}.layers.{index}"
        for part in ("q_proj", "k_proj", "v_proj"):
            yield f"{layer}.self_attn.{part}.weight", (width, width)
            yield f"{layer}.self_attn.{part}.bias", (width,)
        yield f"{layer}.self_attn.o_proj.weight", (width, width)
        yield f"{layer}.mlp.gate_proj.weight", (ffn, width)
        yield f"{layer}.mlp.up_proj.weight", (ffn, width)
        yield f"{layer}.mlp.down_proj.weight", (width, ffn)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield f"{layer}.{norm}.weight", (width,)
    yield f"{prefix}.norm.weight", (width,)


def audio_tensors(config: AudioTokenizerConfig) -> Shapes:
    """Encoder, RVQ, decoder and vocoder of the audio tokenizer."""
    c = config
    width, vocoder = c.d_model, "decoder.vocoder"
    shapes: Shapes = {
        "encoder.conv1.weight": (width, c.n_mels, c.kernel_size),
        "encoder.conv1.bias": (width,),
        "encoder.conv2.weight": (width, width, c.kernel_size),
        "encoder.conv2.bias": (width,),
        "decoder.dconv2.conv.weight": (width, c.n_mels, c.decoder_kernel_size),
        "decoder.dconv2.conv.bias": (c.n_mels,),
        f"{vocoder}.embeddings.weight": (c.vocoder_dim, c.n_mels),
        f"{vocoder}.head.out.weight": (c.nfft + 2, c.vocoder_dim),
        f"{vocoder}.head.out.bias": (c.nfft + 2,),
        f"{vocoder}.head.istft.window": (c.nfft,),
    }
    norms = {
        "encoder.layer_norm": width,
        "decoder.layer_norm": width,
        "decoder.dconv2.norm": c.n_mels,
        f"{vocoder}.layer_norm": c.vocoder_dim,
    }
    if c.avg_pooler > 1:
        shapes["encoder.down_sample_layer.0.weight"] = (width, width, c.avg_pooler)
        shapes["decoder.dconv1.conv.weight"] = (width, width, c.avg_pooler)
        shapes["decoder.dconv1.conv.bias"] = (width,)
        norms |= {"encoder.down_sample_norm": width, "decoder.dconv1.norm": width}
    for name, size in norms.items():
        shapes |= {f"{name}.weight": (size,), f"{name}.bias": (size,)}
    for index, size in enumerate(c.codebook_sizes):
        shapes[f"encoder.quantizer.vq.layers.{index}._codebook.embed"] = (size, width)
    for prefix, layers, size, ffn in (
        ("encoder", c.encoder_layers, width, c.encoder_ffn_dim),
        ("decoder", c.decoder_layers, width, c.decoder_ffn_dim),
        (vocoder, c.vocoder_num_layers, c.vocoder_dim, c.vocoder_intermediate_dim),
    ):
        shapes |= dict(_tokenizer_layer_tensors(prefix, layers, size, ffn))
    return shapes


def _tokenizer_layer_tensors(
    prefix: str, layers: int, width: int, ffn: int
) -> Iterator[tuple[str, tuple[int, ...]]]:
    for index in range(layers):
        layer = f"{prefix}.layers.{index}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield f"{layer}.self_attn.{part}.weight", (width, width)
            if part != "k_proj":
                yield f"{layer}.self_attn.{part}.bias", (width,)
        for part, shape in (("fc1", (ffn, width)), ("fc2", (width, ffn))):
            yield f"{layer}.{part}.weight", shape
            yield f"{layer}.{part}.bias", shape[:1]
        for norm in ("self_attn_layer_norm", "final_layer_norm"):
            yield f"{layer}.{norm}.weight", (width,)
            yield f"{layer}.{norm}.bias", (width,)


def unread_tensors(names: Iterable[str], expected: Iterable[str]) -> list[str]:
    """Those of a checkpoint's `names` that are neither `expected` nor known to be not needed."""
    left = set(names).difference(expected)
    return sorted(n for n in left if not any(fnmatchcase(n, pattern) for pattern in NOT_NEEDED))


class ShapesOnly:
    """Weights without values, to lay a graph out and count its bytes."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._shapes = shapes

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor."""
        return self._shapes[name]

    def array(self, name: str) -> NDArray[np.float32]:
        """Raise LookupError: shapes are all there is."""
        raise LookupError(f"{name} has no values here")


class RecordedWeights:
    """Weights of a checkpoint that remember which tensors were used."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._used: Shapes = {}

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor."""
        shape = self._checkpoint.info(name).shape
        self._used[name] = shape
        return shape

    def array(self, name: str) -> NDArray[np.float32]:
        """Values of a tensor."""
        self.shape(name)
        return self._checkpoint.array(name)

    def parameters(self) -> int:
        """Number of values in the tensors used so far."""
        return sum(int(np.prod(shape)) for shape in self._used.values())
