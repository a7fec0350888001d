"""A backbone of noise in 4 bits, written as blocks at once: no float weights, no quantizer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gguf
import numpy as np
import numpy.typing as npt

from mimo_edge.atomic import output_errors

from ..checkpoints.configs import LanguageModelConfig
from ..checkpoints.random_checkpoint import RandomCheckpoint
from ..checkpoints.text_tokenizer import TextTokenizer
from .gguf_file import Progress, write_gguf
from .writing import add_dimensions, add_tokenizer, tensor_names

__all__ = ["block_type", "write_random_backbone"]

_Q4, _Q6 = gguf.GGMLQuantizationType.Q4_K, gguf.GGMLQuantizationType.Q6_K
_ROW = 256
"""Weights in a block of both types."""
_DIFFERENT = 4096
"""Blocks that are drawn; they are repeated, since no kernel looks at what it multiplies."""


class _Tensor(NamedTuple):
    name: str
    shape: tuple[int, ...]
    kind: gguf.GGMLQuantizationType


def block_type(name: str, layers: int) -> gguf.GGMLQuantizationType:
    """What llama.cpp stores a matrix as where it is asked for q4_k_m.

    Six bits for the head and, in the first and last eighth of the layers and every third
    between, for the two matrices that suffer most.
    """
    if name == "output.weight":
        return _Q6
    place, _, part = name.removeprefix("blk.").partition(".")
    if part not in ("attn_v.weight", "ffn_down.weight"):
        return _Q4
    index, eighth = int(place), layers // 8
    more = index < eighth or index >= 7 * layers // 8 or (index - eighth) % 3 == 2
    return _Q6 if more else _Q4


def write_random_backbone(
    config: LanguageModelConfig,
    tokenizer: TextTokenizer,
    norms: RandomCheckpoint,
    out: Path,
    *,
    name: str,
    progress: Progress,
    seed: int = 0,
) -> None:
    """Write a q4_k_m backbone of these dimensions; `norms` holds its vectors.

    Raises:
        MimoEdgeError: the disk is full, or `out` cannot be written.
    """
    writer = gguf.GGUFWriter(None, "qwen2")
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    add_dimensions(writer, config)
    add_tokenizer(writer, tokenizer)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_K_M)
    sources: list[tuple[_Tensor, str]] = []
    for tensor, (upstream, shape) in tensor_names(config).items():
        kind, stored = gguf.GGMLQuantizationType.F32, shape
        dtype: np.dtype[Any] = np.dtype(np.float32)
        if len(shape) > 1:
            kind, dtype = block_type(tensor, config.num_hidden_layers), np.dtype(np.uint8)
            stored = gguf.quant_shape_to_byte_shape(shape, kind)
        nbytes = int(np.prod(stored)) * dtype.itemsize
        writer.add_tensor_info(tensor, stored, dtype, nbytes, raw_dtype=kind)
        sources.append((_Tensor(tensor, stored, kind), upstream))
    with output_errors(out, "make room, or choose a folder on another disk"):
        write_gguf(writer, out, _values(sources, norms, config.hidden_size, seed), progress)


def _values(
    sources: list[tuple[_Tensor, str]], norms: RandomCheckpoint, width: int, seed: int
) -> Iterator[tuple[str, str, npt.NDArray[Any]]]:
    rng = np.random.default_rng(seed)
    blocks = {_Q4: _blocks_of_4_bits(rng, width), _Q6: _blocks_of_6_bits(rng, width)}
    for tensor, upstream in sources:
        values = (
            np.resize(blocks[tensor.kind], tensor.shape)
            if tensor.kind in blocks
            else norms.raw(upstream)
        )
        yield tensor.name, tensor.name, values


def _blocks_of_4_bits(rng: np.random.Generator, width: int) -> npt.NDArray[np.uint8]:
    """Blocks of `Q4_K`: scale and offset (float16), 12 bytes of both for eighths, 256 halves."""
    blocks = rng.integers(0, 256, (_DIFFERENT, 144), dtype=np.uint8)
    # A weight is scale * s * q - offset * m, with s and m up to 63 and q up to 15, all of them
    # even: the offset makes the mean 0, and 250 is what a weight spreads by for a scale of 1.
    scale = 1 / (250 * width**0.5)
    blocks[:, 0:2] = np.array([scale], dtype="<f2").view(np.uint8)
    blocks[:, 2:4] = np.array([7.5 * scale], dtype="<f2").view(np.uint8)
    return blocks


def _blocks_of_6_bits(rng: np.random.Generator, width: int) -> npt.NDArray[np.uint8]:
    """Blocks of `Q6_K`: 256 quants of 6 bits, a signed scale for each 16, the scale of all."""
    blocks = rng.integers(0, 256, (_DIFFERENT, 210), dtype=np.uint8)
    blocks[:, 192:208] = rng.integers(-32, 32, (_DIFFERENT, 16)).astype(np.int8).view(np.uint8)
    scale = 1 / (340 * width**0.5)
    blocks[:, 208:210] = np.array([scale], dtype="<f2").view(np.uint8)
    return blocks
