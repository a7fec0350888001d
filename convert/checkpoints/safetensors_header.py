"""What lies where in a safetensors file, read from its header alone.

Format: 8 bytes little-endian length n, n bytes of JSON, then the data
(https://github.com/huggingface/safetensors#format).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from mimo_edge.bundle.untrusted_json import parse_json, printable_name
from mimo_edge.errors import BadBundleError

__all__ = ["TensorInfo", "read_header"]

_ITEM_BITS: Mapping[str, int] = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8,
    "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
    "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
_LONGEST_HEADER = 16 << 20
"""Bytes; the largest of the released checkpoints' has 0.2 MB."""
_MOST_DIMENSIONS = 8
_LARGEST_SIZE = 1 << 48
"""Of a dimension or an offset, more than any disk holds."""


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """Where one tensor lies: `nbytes` bytes at `offset` of `path`."""

    name: str
    dtype: str
    """As safetensors spells it: `BF16`, `F16`, `F32`, …"""
    shape: tuple[int, ...]
    path: Path
    offset: int
    nbytes: int


def read_header(path: Path) -> dict[str, TensorInfo]:
    """Name → place of every tensor of a file.

    Raises:
        MimoEdgeError: the file cannot be read, is truncated, or is no safetensors file.
    """
    try:
        return _read_header(path)
    except OSError as error:
        raise BadBundleError(f"{path} cannot be read ({error.strerror or error}).") from error


def _read_header(path: Path) -> dict[str, TensorInfo]:
    size = path.stat().st_size
    with path.open("rb") as stream:
        prefix = stream.read(8)
        length = int.from_bytes(prefix, "little")
        garbage = len(prefix) < 8 or not 2 <= length <= _LONGEST_HEADER
        header = b"" if garbage else stream.read(length)
    if prefix == b"version ":
        raise BadBundleError(f"{path} is only a Git LFS pointer; run `git lfs pull` in its folder.")
    if not garbage and len(header) < length:
        raise _truncated(path, size, 8 + length, at_least=True)
    try:
        tensors = [
            _tensor_info(name, entry, path, 8 + length)
            for name, entry in parse_json(header).items()
            if name != "__metadata__"
        ]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadBundleError(
            f"{path} does not begin with a safetensors header; it is damaged or another kind "
            "of file, download it again."
        ) from error
    expected = max((t.offset + t.nbytes for t in tensors), default=8 + length)
    if size != expected:
        raise _truncated(path, size, expected)
    try:  # overlaps, gaps and whatever else the format forbids
        with safe_open(path, framework="numpy"):
            pass
    except (SafetensorError, ValueError) as error:
        reason = printable_name(" ".join(str(error).split()))[:200]
        raise BadBundleError(f"{path} is damaged ({reason}); download it again.") from error
    return {tensor.name: tensor for tensor in tensors}


def _truncated(path: Path, size: int, expected: int, *, at_least: bool = False) -> BadBundleError:
    word = "at least " if at_least else ""
    what = "truncated" if size < expected else "damaged"
    return BadBundleError(
        f"{path} is {what}: it has {size} bytes and its header asks for {word}{expected}; "
        "download it again."
    )


def _tensor_info(name: str, entry: Mapping[str, Any], path: Path, data: int) -> TensorInfo:
    """One entry of the header; ValueError, TypeError or KeyError where it means nothing."""
    begin, end = entry["data_offsets"]
    shape, dtype = tuple(entry["shape"]), str(entry["dtype"])
    sizes = (begin, end, *shape)
    if len(shape) > _MOST_DIMENSIONS or any(type(size) is not int for size in sizes):
        raise ValueError(name)
    if not all(0 <= size < _LARGEST_SIZE for size in sizes) or begin > end:
        raise ValueError(name)
    bits = _ITEM_BITS.get(dtype)
    if bits is not None and (end - begin) * 8 != math.prod(shape) * bits:
        raise ValueError(name)
    return TensorInfo(
        name=name, dtype=dtype, shape=shape, path=path, offset=data + begin, nbytes=end - begin
    )
