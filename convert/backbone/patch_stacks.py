"""Patch encoder and patch decoder as GGUF files of architecture `qwen2`, for llama.cpp.

They have no text tokenizer. What llama.cpp calls the vocabulary are the rows of their heads, which
stand in the place of the token embeddings, since llama.cpp takes those for a head where there is no
other: embeddings go in as they are, so nothing else is wanted of that table.

- patch decoder: the heads of all codebooks, one below the other.
- patch encoder: the projection to the backbone takes the outputs of all positions of a patch side
  by side; it is cut into one piece for each position, one below the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from mimo_edge.atomic import output_errors
from mimo_edge.bundle.manifest import (
    OPTIONAL_PARTS,
    PATCH_DECODER_GGUF,
    PATCH_EMBEDDINGS_FILE,
    PATCH_ENCODER_GGUF,
)

from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.configs import LanguageModelConfig
from ..checkpoints.tensors import RecordedWeights
from ..graphs.patch_encoder import code_embedding_table
from .gguf_file import FLOATS, Progress, write_gguf
from .matrix_types import BACKBONE_TYPES, BackboneType, matrix_bytes, matrix_types
from .quantize import quantize_gguf
from .writing import add_dimensions, tensor_names

__all__ = ["STACK_TYPES", "stack_bytes", "write_patch_stack"]

_Kind = gguf.GGMLQuantizationType
_HEAD = "token_embd.weight"


def _fine(file_type: gguf.LlamaFileType, matrices: gguf.GGMLQuantizationType) -> BackboneType:
    kinds = {"attn_v": _Kind.Q6_K, "token_embd": _Kind.Q8_0}
    return BackboneType(file_type=file_type, matrices=matrices, kinds=kinds)


STACK_TYPES: Mapping[str, BackboneType] = MappingProxyType(
    {
        **{name: BACKBONE_TYPES[name] for name in ("f32", "f16", "bf16", "q8_0")},
        "q6_k": _fine(gguf.LlamaFileType.MOSTLY_Q6_K, _Kind.Q6_K),
        "q5_k": _fine(gguf.LlamaFileType.MOSTLY_Q5_K_S, _Kind.Q5_K),
        "q4_k": _fine(gguf.LlamaFileType.MOSTLY_Q4_K_S, _Kind.Q4_K),
    }
)
"""What a stack can be stored as. The error of a head goes straight into the codes, or into every
position of the backbone: it has 8 bits at least. In so much the codes of the demo model diverge,
rounded in the same blocks as a large model's: q8_0 0.0004, q6_k 0.004, q5_k 0.015, q4_k 0.06 (the
graph's w8 0.0013, w4c 0.05, w4 0.1)."""


@dataclass(frozen=True, kw_only=True)
class _Stack:
    file: str
    prefix: str
    """Of its layers in the checkpoint."""
    config: LanguageModelConfig
    """Its own dimensions under the names of a language model's."""
    causal: bool
    heads: tuple[str, ...]
    """Tensors of the checkpoint that the head is made of."""
    pieces: int
    """Into how many parts their columns are cut, which then stand one below the other."""

    def tensors(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """GGUF name → upstream name and shape."""
        return {
            name: (upstream.replace("model.", f"{self.prefix}.", 1), shape)
            for name, (upstream, shape) in tensor_names(self.config).items()
        }

    def head(self, checkpoint: Checkpoint) -> npt.NDArray[Any]:
        """[vocabulary, width], in the checkpoint's dtype."""
        parts = [checkpoint.raw(name) for name in self.heads]
        parts = [part for whole in parts for part in np.split(whole, self.pieces, axis=1)]
        return np.ascontiguousarray(np.concatenate(parts))


def _stack(part: str, config: LanguageModelConfig) -> _Stack:
    c = config
    width, layers, ffn = (
        (c.local_dim, c.local_layers, c.local_ffn_dim)
        if part == "patch_decoder_gguf"
        else (c.input_local_dim, c.input_local_layers, 4 * c.input_local_dim)
    )
    decodes = part == "patch_decoder_gguf"
    stack = replace(
        c,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=c.local_attn_heads,
        num_key_value_heads=c.local_attn_heads,
        head_dim=width // c.local_attn_heads,
        intermediate_size=ffn,
        vocab_size=sum(c.speech_vocab_sizes) if decodes else c.group_size * c.hidden_size,
        max_position_embeddings=c.group_size + (max(c.delays) if decodes else 0),
        tie_word_embeddings=True,
    )
    if decodes:
        return _Stack(
            file=PATCH_DECODER_GGUF,
            prefix="local_transformer",
            config=stack,
            causal=True,
            heads=tuple(f"local_transformer_lm_heads.{n}.weight" for n in range(c.audio_channels)),
            pieces=1,
        )
    return _Stack(
        file=PATCH_ENCODER_GGUF,
        prefix="input_local_transformer",
        config=stack,
        causal=not c.input_full_attention,
        heads=("speech_group_downcast.weight",),
        pieces=c.group_size,
    )


def stack_bytes(part: str, config: LanguageModelConfig, type: str) -> int:
    """Bytes of the files of one of `OPTIONAL_PARTS`."""
    stack = _stack(part, config)
    shapes = {name: shape for name, (_, shape) in stack.tensors().items()}
    size = sum(matrix_bytes(STACK_TYPES[type], shapes, stack.config.num_hidden_layers).values())
    if part == "patch_encoder_gguf":
        size += 4 * config.input_local_dim * sum(config.speech_vocab_sizes)
    return size


def write_patch_stack(
    part: str,
    checkpoint: Checkpoint,
    config: LanguageModelConfig,
    work: Path,
    *,
    type: str,
    name: str,
    threads: int = 0,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Write one of `OPTIONAL_PARTS` into the folder `work`, as one of `STACK_TYPES`.

    `name` becomes `general.name`. Nothing else is left behind.

    Returns:
        File name → parameters that it holds and no other file does: none, a graph has them all.

    Raises:
        MimoEdgeError: a value does not fit the type, or the disk is full.
    """
    tell = progress or (lambda stage, done, total: None)
    stack, stored = _stack(part, config), STACK_TYPES[type]
    out, stage = work / stack.file, f"writing {OPTIONAL_PARTS[part]}.gguf"
    source, partial = (out.with_name(f"{out.name}.{end}") for end in ("source", "partial"))
    try:
        with output_errors(out, "make room, or choose a folder on another disk"):
            writer = _prepare(stack, checkpoint, stored, type, name)
            sizes = {tensor: info.nbytes for tensor, info in writer.tensors[0].items()}
            write_gguf(
                writer,
                partial if stored.is_float else source,
                _sources(stack, checkpoint),
                lambda _, done, total: tell(stage, done, total),
            )
            if not stored.is_float:
                _quantize(stack, stored, source, partial, sizes, threads, stage, tell)
            partial.replace(out)
            files = {out.name: 0}
            if part == "patch_encoder_gguf":
                table = code_embedding_table(RecordedWeights(checkpoint), config)
                np.save(work / PATCH_EMBEDDINGS_FILE, np.ascontiguousarray(table))
                files[PATCH_EMBEDDINGS_FILE] = 0
    finally:
        for path in (source, partial):
            path.unlink(missing_ok=True)
    return files


def _quantize(
    stack: _Stack,
    stored: BackboneType,
    source: Path,
    out: Path,
    sizes: Mapping[str, int],
    threads: int,
    stage: str,
    tell: Callable[[str, int, int], None],
) -> None:
    shapes = {name: shape for name, (_, shape) in stack.tensors().items()}
    types = matrix_types(stored, shapes, stack.config.num_hidden_layers)
    quantize_gguf(
        source,
        out,
        file_type=stored.file_type,
        tensor_types={name: int(kind) for name, kind in types.items()},
        tensor_bytes=sizes,
        imatrix=None,
        threads=threads,
        progress=lambda done, total: tell(stage.replace("writing", "quantizing"), done, total),
    )


def _prepare(
    stack: _Stack, checkpoint: Checkpoint, stored: BackboneType, type: str, name: str
) -> gguf.GGUFWriter:
    """A writer that knows all metadata and every tensor's dtype and size, but no data."""
    writer = gguf.GGUFWriter(None, "qwen2")
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    add_dimensions(writer, stack.config)
    writer.add_causal_attention(stack.causal)
    writer.add_tokenizer_model("no_vocab")
    for tensor, (upstream, shape) in stack.tensors().items():
        own = checkpoint.info(stack.heads[0] if tensor == _HEAD else upstream).dtype.lower()
        # llama.cpp adds biases and norms in float32 and wants them so.
        kind = "f32" if len(shape) == 1 else type if type in FLOATS else own
        ggml_type, dtype = FLOATS[kind]
        nbytes = math.prod(shape) * dtype.itemsize
        writer.add_tensor_info(tensor, shape, dtype, nbytes, raw_dtype=ggml_type)
    writer.add_file_type(stored.file_type)
    return writer


def _sources(stack: _Stack, checkpoint: Checkpoint) -> Iterator[tuple[str, str, npt.NDArray[Any]]]:
    """GGUF name, place and source of every tensor, in the order of the file."""
    for name, (upstream, _) in stack.tensors().items():
        if name == _HEAD:
            yield name, f"{checkpoint.folder}: {stack.heads[0]!r}", stack.head(checkpoint)
        else:
            where = f"{checkpoint.info(upstream).path}: {upstream!r}"
            yield name, where, checkpoint.raw(upstream)
