"""GGUF files with other metadata and tensor tables than they were written with."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import gguf
import numpy as np

__all__ = ["array_value", "rewrite_gguf", "scalar_value", "string_value"]

_ALIGNMENT = 32
_FORMS = {"UINT32": "<I", "INT32": "<i", "FLOAT32": "<f", "UINT64": "<Q", "BOOL": "<?"}

TensorLine = tuple[str, list[int], int, int]
"""Name, shape with the row length first, number type, offset from the first tensor."""


def scalar_value(kind: str, value: Any) -> bytes:
    """A number or bool with its type in front."""
    number = gguf.GGUFValueType[kind]
    return struct.pack("<I", number) + struct.pack(_FORMS[kind], value)


def string_value(value: bytes) -> bytes:
    """A string with its type in front."""
    return struct.pack("<I", gguf.GGUFValueType.STRING) + _string(value)


def array_value(kind: str, values: list[Any]) -> bytes:
    """A list with its types in front."""
    head = struct.pack("<IIQ", gguf.GGUFValueType.ARRAY, gguf.GGUFValueType[kind], len(values))
    if kind == "STRING":
        return head + b"".join(map(_string, values))
    return head + b"".join(struct.pack(_FORMS[kind], value) for value in values)


@dataclass(frozen=True)
class _Parsed:
    pairs: dict[str, bytes]
    lines: list[TensorLine]
    data_offset: int


# Reading takes gguf a tenth of a second, and a test reads the same bytes again and again.
@lru_cache(maxsize=4)
def _parse(path: Path, content: bytes) -> _Parsed:
    """What is in the file, whose content is given only for the cache."""
    reader = gguf.GGUFReader(path)
    return _Parsed(
        pairs={
            name: b"".join(np.asarray(part).tobytes() for part in field.parts[2:])
            for name, field in reader.fields.items()
            if not name.startswith("GGUF.")
        },
        lines=[
            (
                tensor.name,
                [int(size) for size in tensor.shape],
                int(tensor.tensor_type),
                int(tensor.data_offset - reader.data_offset),
            )
            for tensor in reader.tensors
        ],
        data_offset=int(reader.data_offset),
    )


def rewrite_gguf(
    path: Path,
    values: Mapping[str, bytes | None] | None = None,
    change: Callable[[list[TensorLine]], object] | None = None,
) -> int:
    """Write other values (with their types; None leaves a key out) and change the tensor table.

    Returns:
        The offset of the first tensor in the new file.
    """
    whole = path.read_bytes()
    parsed = _parse(path, whole)
    pairs: dict[str, bytes | None] = {**parsed.pairs, **(values or {})}
    lines = [(name, [*shape], kind, offset) for name, shape, kind, offset in parsed.lines]
    data = whole[parsed.data_offset :]
    if change:
        change(lines)
    kept = {name: value for name, value in pairs.items() if value is not None}
    head = b"GGUF" + struct.pack("<IQQ", 3, len(lines), len(kept))
    head += b"".join(_string(name.encode()) + value for name, value in kept.items())
    for name, shape, kind, offset in lines:
        head += _string(name.encode()) + struct.pack("<I", len(shape))
        head += struct.pack(f"<{len(shape)}QIQ", *shape, kind, offset)
    head += bytes(-len(head) % _ALIGNMENT)
    path.write_bytes(head + data)
    return len(head)


def _string(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value
