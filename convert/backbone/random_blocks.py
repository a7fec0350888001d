"""A backbone of noise, written as blocks at once: a few are quantized, and repeated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from mimo_edge.atomic import output_errors

from ..checkpoints.configs import LanguageModelConfig
from ..checkpoints.random_checkpoint import RandomCheckpoint
from ..checkpoints.text_tokenizer import TextTokenizer
from .ggml import quantize_rows
from .gguf_file import Progress, write_gguf
from .matrix_types import BackboneType, matrix_types
from .writing import add_dimensions, add_tokenizer, tensor_names

__all__ = ["write_random_backbone"]

_BLOCK = 256
"""Weights in a block, of the largest kind."""
_DIFFERENT = 4096
"""Blocks that are drawn; they are repeated, since no kernel looks at what it multiplies."""


def write_random_backbone(
    config: LanguageModelConfig,
    tokenizer: TextTokenizer,
    norms: RandomCheckpoint,
    out: Path,
    stored: BackboneType,
    *,
    name: str,
    progress: Progress,
    seed: int = 0,
) -> None:
    """Write a backbone of these dimensions and one of the quantized types.

    `norms` holds its vectors.

    Raises:
        MimoEdgeError: the disk is full, or `out` cannot be written.
    """
    writer = gguf.GGUFWriter(None, "qwen2")
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    add_dimensions(writer, config)
    add_tokenizer(writer, tokenizer)
    writer.add_file_type(stored.file_type)
    shapes = {tensor: shape for tensor, (_, shape) in tensor_names(config).items()}
    types = matrix_types(stored, shapes, config.num_hidden_layers)
    for tensor, shape in shapes.items():
        if kind := types.get(tensor):
            row = gguf.quant_shape_to_byte_shape(shape, kind)
            writer.add_tensor_info(
                tensor, row, np.dtype(np.uint8), int(np.prod(row)), raw_dtype=kind
            )
        else:
            floats = np.dtype(np.float32)
            writer.add_tensor_info(tensor, shape, floats, 4 * int(np.prod(shape)))
    with output_errors(out, "make room, or choose a folder on another disk"):
        write_gguf(writer, out, _values(config, types, norms, seed), progress)


def _values(
    config: LanguageModelConfig,
    types: Mapping[str, gguf.GGMLQuantizationType],
    norms: RandomCheckpoint,
    seed: int,
) -> Iterator[tuple[str, str, npt.NDArray[Any]]]:
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((_DIFFERENT, _BLOCK), dtype=np.float32)
    noise /= config.hidden_size**0.5
    blocks = {kind: quantize_rows(noise, kind) for kind in sorted(set(types.values()))}
    for tensor, (upstream, shape) in tensor_names(config).items():
        if kind := types.get(tensor):
            size = gguf.quant_shape_to_byte_shape(shape, kind)
            yield tensor, tensor, np.resize(blocks[kind], size)
        else:
            yield tensor, tensor, norms.raw(upstream)
