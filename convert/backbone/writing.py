"""The backbone as a GGUF of architecture `qwen2`, with the text tokenizer inside.

Tensor by tensor from the mapped checkpoint into the file, so memory does not grow
with the model. The float types are written in one go; for the others the file is
written in 16 bits first, quantized by llama.cpp, and deleted. Of a float32 checkpoint that copy is
bfloat16, in which the reference computes whatever the file holds: it is rounded further anyway,
and takes half the disk and half the reading.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy.typing as npt

from mimo_edge.atomic import output_errors
from mimo_edge.errors import BadBundleError, BadInputError

from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.configs import LanguageModelConfig
from ..checkpoints.text_tokenizer import TextTokenizer
from .gguf_file import FLOATS, Progress, write_gguf
from .imatrix import check_imatrix, read_imatrix
from .matrix_types import BACKBONE_TYPES, BackboneType, matrix_bytes, matrix_types
from .quantize import quantize_gguf

__all__ = [
    "add_dimensions",
    "add_tokenizer",
    "backbone_bytes",
    "copy_bytes",
    "expected_backbone_tensors",
    "tensor_names",
    "write_backbone",
]

_BLOCK = 32
"""The smallest quantization block: every quantized row is a multiple of it."""
_COPIED_AS = {"BF16": "bf16", "F16": "f16", "F32": "bf16"}
"""The checkpoint's dtype → that of the copy which is quantized."""


def tensor_names(config: LanguageModelConfig) -> dict[str, tuple[str, tuple[int, ...]]]:
    """GGUF name → upstream name and shape."""
    c = config
    hidden, ffn = c.hidden_size, c.intermediate_size
    queries, keys = c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim
    layer: dict[str, tuple[str, tuple[int, ...]]] = {
        "attn_norm.weight": ("input_layernorm.weight", (hidden,)),
        "attn_q.weight": ("self_attn.q_proj.weight", (queries, hidden)),
        "attn_q.bias": ("self_attn.q_proj.bias", (queries,)),
        "attn_k.weight": ("self_attn.k_proj.weight", (keys, hidden)),
        "attn_k.bias": ("self_attn.k_proj.bias", (keys,)),
        "attn_v.weight": ("self_attn.v_proj.weight", (keys, hidden)),
        "attn_v.bias": ("self_attn.v_proj.bias", (keys,)),
        "attn_output.weight": ("self_attn.o_proj.weight", (hidden, queries)),
        "ffn_norm.weight": ("post_attention_layernorm.weight", (hidden,)),
        "ffn_gate.weight": ("mlp.gate_proj.weight", (ffn, hidden)),
        "ffn_up.weight": ("mlp.up_proj.weight", (ffn, hidden)),
        "ffn_down.weight": ("mlp.down_proj.weight", (hidden, ffn)),
    }
    table = (c.vocab_size, hidden)
    result: dict[str, tuple[str, tuple[int, ...]]] = {
        "token_embd.weight": ("model.embed_tokens.weight", table)
    }
    for i in range(c.num_hidden_layers):
        for ours, (theirs, shape) in layer.items():
            result[f"blk.{i}.{ours}"] = (f"model.layers.{i}.{theirs}", shape)
    result["output_norm.weight"] = ("model.norm.weight", (hidden,))
    if not c.tie_word_embeddings:
        result["output.weight"] = ("lm_head.weight", table)
    return result


def copy_bytes(checkpoint: Checkpoint, config: LanguageModelConfig) -> int:
    """Bytes of the copy that is written on the way to a quantized backbone."""
    return sum(
        math.prod(shape) * FLOATS[_COPIED_AS[checkpoint.info(name).dtype]][1].itemsize
        for name, shape in expected_backbone_tensors(config).items()
    )


def expected_backbone_tensors(config: LanguageModelConfig) -> dict[str, tuple[int, ...]]:
    """Upstream name → shape of every tensor of the backbone, for `Checkpoint.check`."""
    return dict(tensor_names(config).values())


def backbone_bytes(config: LanguageModelConfig, type: str) -> dict[str, int]:
    """GGUF name → bytes of every tensor of a backbone of one of `BACKBONE_TYPES`."""
    return matrix_bytes(BACKBONE_TYPES[type], _shapes(config), config.num_hidden_layers)


def _types(config: LanguageModelConfig, stored: BackboneType) -> dict[str, int]:
    types = matrix_types(stored, _shapes(config), config.num_hidden_layers)
    return {name: int(kind) for name, kind in types.items()}


def _shapes(config: LanguageModelConfig) -> dict[str, tuple[int, ...]]:
    return {name: shape for name, (_, shape) in tensor_names(config).items()}


def write_backbone(
    checkpoint: Checkpoint,
    config: LanguageModelConfig,
    tokenizer: TextTokenizer,
    out: Path,
    *,
    type: str,
    name: str,
    imatrix: Path | None = None,
    measure: Callable[[Path, Path], None] | None = None,
    threads: int = 0,
    progress: Progress | None = None,
) -> None:
    """Write the backbone as `out`, a GGUF of one of `BACKBONE_TYPES`.

    `name` becomes `general.name`; `imatrix` is an importance matrix file, used by
    the quantized types. Without one, `measure` makes it for the coarse types: it gets the
    model in 16 bits and a name for the matrix, both in the folder of `out`.
    `threads` 0: one per core. Nothing but `out` is left behind, and by an exception
    not that either.

    Raises:
        MimoEdgeError: an unknown type, tensors or an importance matrix that do not
            fit the config, widths the type cannot hold, a full disk.
    """
    _check_inputs(checkpoint, config, tokenizer, type)
    tell = progress or (lambda stage, done, total: None)
    stored = BACKBONE_TYPES[type]
    partial, source, measured = (
        out.with_name(f"{out.name}.{end}") for end in ("partial", "source", "imatrix")
    )
    if not stored.is_float:
        _check_quantizable(config, type, imatrix)
    try:
        with output_errors(out, "make room, or choose a folder on another disk"):
            writer = _prepare(checkpoint, config, tokenizer, type=type, name=name)
            sizes = {tensor: info.nbytes for tensor, info in writer.tensors[0].items()}
            first = partial if stored.is_float else source
            write_gguf(writer, first, _sources(checkpoint, config), tell)
            if not stored.is_float:
                if imatrix is None and measure is not None and stored.is_coarse:
                    measure(source, measured)
                    imatrix = measured
                quantize_gguf(
                    source,
                    partial,
                    file_type=stored.file_type,
                    tensor_types=_types(config, stored),
                    tensor_bytes=sizes,
                    imatrix=imatrix,
                    threads=threads,
                    progress=lambda done, total: tell("quantizing the backbone", done, total),
                )
            partial.replace(out)
    finally:
        for path in (partial, source, measured):
            path.unlink(missing_ok=True)


def _check_inputs(
    checkpoint: Checkpoint, config: LanguageModelConfig, tokenizer: TextTokenizer, type: str
) -> None:
    if type not in BACKBONE_TYPES:
        raise BadInputError(
            f"There is no backbone type {type!r}; choose one of {', '.join(BACKBONE_TYPES)}."
        )
    if len(tokenizer.tokens) != config.vocab_size:
        raise BadBundleError(
            f"The text tokenizer has {len(tokenizer.tokens)} entries and vocab_size is "
            f"{config.vocab_size}; they are not of the same checkpoint."
        )
    if config.num_attention_heads * config.head_dim != config.hidden_size:
        raise BadBundleError(
            f"{checkpoint.folder} has {config.num_attention_heads} heads of {config.head_dim} and "
            f"a hidden size of {config.hidden_size}; llama.cpp runs a qwen2 model only if "
            "heads times head_dim is the hidden size."
        )
    checkpoint.check(expected_backbone_tensors(config))


def _check_quantizable(config: LanguageModelConfig, type: str, imatrix: Path | None) -> None:
    matrices = {n: shape for n, (_, shape) in tensor_names(config).items() if len(shape) > 1}
    for name, shape in matrices.items():
        if shape[-1] % _BLOCK:
            raise BadInputError(
                f"{type} stores rows in blocks of {_BLOCK} and {name} has rows of {shape[-1]}; "
                "choose the backbone type f16."
            )
    if imatrix is not None:
        check_imatrix(read_imatrix(imatrix), matrices, imatrix)


def _sources(
    checkpoint: Checkpoint, config: LanguageModelConfig
) -> Iterator[tuple[str, str, npt.NDArray[Any]]]:
    """GGUF name, place and mapped source of every tensor, in the order of the file."""
    for name, (upstream, _) in tensor_names(config).items():
        yield name, f"{checkpoint.info(upstream).path}: {upstream!r}", checkpoint.raw(upstream)


def _prepare(
    checkpoint: Checkpoint,
    config: LanguageModelConfig,
    tokenizer: TextTokenizer,
    *,
    type: str,
    name: str,
) -> gguf.GGUFWriter:
    """A writer that knows all metadata and every tensor's dtype and size, but no data."""
    writer = gguf.GGUFWriter(None, "qwen2")
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    add_dimensions(writer, config)
    add_tokenizer(writer, tokenizer)
    used: set[str] = set()
    for tensor, (upstream, shape) in tensor_names(config).items():
        own = _COPIED_AS[checkpoint.info(upstream).dtype]
        # llama.cpp adds biases and norms in float32 and wants them so.
        kind = "f32" if len(shape) == 1 else type if type in FLOATS else own
        if len(shape) > 1:
            used.add(kind)
        ggml_type, dtype = FLOATS[kind]
        nbytes = math.prod(shape) * dtype.itemsize
        writer.add_tensor_info(tensor, shape, dtype, nbytes, raw_dtype=ggml_type)
    writer.add_file_type(BACKBONE_TYPES[max(used)].file_type)
    return writer


def add_dimensions(writer: gguf.GGUFWriter, config: LanguageModelConfig) -> None:
    """Tell a writer the dimensions of a Qwen2 model, under llama.cpp's names."""
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)


def add_tokenizer(writer: gguf.GGUFWriter, tokenizer: TextTokenizer) -> None:
    """Tell a writer the vocabulary; no chat template: prompts are put together from ids."""
    end = tokenizer.special_tokens["<|endoftext|>"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(list(tokenizer.tokens))
    writer.add_token_types(list(tokenizer.token_types))
    writer.add_token_merges(list(tokenizer.merges))
    writer.add_bos_token_id(end)
    writer.add_eos_token_id(end)
    writer.add_pad_token_id(end)
    writer.add_add_bos_token(False)
