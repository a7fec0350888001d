"""The header of a GGUF file, read without trusting it.

llama.cpp aborts the process on some values, and gguf-py's reader takes seconds for the 300,000
strings of a large vocabulary. This one is quick, never allocates more than the file has bytes,
and says in a `ValueError` where a file ends or is none.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np

__all__ = ["GgufHeader", "GgufTensor", "GgufValue", "read_header"]

_MAGIC, _VERSION = b"GGUF", 3
_ALIGNMENT = 32
"""Bytes; GGUF's default, which everything of ours has."""
_MOST_KEYS, _MOST_TENSORS, _MOST_ENTRIES = 256, 1 << 14, 1 << 23
_LONGEST_STRING = 1 << 16
_MOST_DIMENSIONS = 4

_NUMBERS = {
    gguf.GGUFValueType.UINT8: "<u1",
    gguf.GGUFValueType.INT8: "<i1",
    gguf.GGUFValueType.UINT16: "<u2",
    gguf.GGUFValueType.INT16: "<i2",
    gguf.GGUFValueType.UINT32: "<u4",
    gguf.GGUFValueType.INT32: "<i4",
    gguf.GGUFValueType.FLOAT32: "<f4",
    gguf.GGUFValueType.UINT64: "<u8",
    gguf.GGUFValueType.INT64: "<i8",
    gguf.GGUFValueType.FLOAT64: "<f8",
    gguf.GGUFValueType.BOOL: "?",
}


@dataclass(frozen=True)
class GgufValue:
    """One value of the metadata."""

    kind: str
    """GGUF's name of its type, for example `UINT32`, or `[STRING]` for a list of strings."""
    value: Any
    """A number, a bool, bytes of UTF-8; of a list of strings a list of bytes, of other lists a
    NumPy array."""


@dataclass(frozen=True)
class GgufTensor:
    """One line of the table of tensors."""

    kind: str
    """Number type, for example `Q4_K`."""
    shape: tuple[int, ...]
    """Rows first, as NumPy has it; GGUF stores the row length first."""
    offset: int
    """Its first byte in the file."""
    size: int
    """Bytes that it takes in the file."""


@dataclass(frozen=True)
class GgufHeader:
    """All of a file but the weights."""

    values: dict[str, GgufValue]
    tensors: dict[str, GgufTensor]


def read_header(path: Path) -> GgufHeader:
    """Read and check the header: every tensor lies in the file, aligned, one behind the other.

    Raises:
        ValueError: it is no GGUF or one that llama.cpp would refuse, as a part of a sentence.
        OSError: it cannot be read.
    """
    with _mapped(path) as data:
        return _Reader(data).header()


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    with path.open("rb") as stream:
        if not path.stat().st_size:  # which cannot be mapped
            raise ValueError("is empty")
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data


class _Reader:
    """A place in the file."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 0

    def header(self) -> GgufHeader:
        magic, version = self._take(4), self._unpack("<I")
        if magic != _MAGIC or version != _VERSION:
            raise ValueError(f"is no GGUF of version {_VERSION}")
        tensors = self._count("tensors", _MOST_TENSORS)
        keys = self._count("keys", _MOST_KEYS)
        values: dict[str, GgufValue] = {}
        for _ in range(keys):
            name = self._name()
            if name in values:
                raise ValueError(f"has the key {name!r} twice")
            values[name] = self._value()
        alignment = values.get("general.alignment")
        if alignment is not None and alignment != GgufValue("UINT32", _ALIGNMENT):
            raise ValueError(f"has general.alignment {alignment.value!r} instead of {_ALIGNMENT}")
        return GgufHeader(values, self._tensors(tensors))

    def _value(self) -> GgufValue:
        kind = self._kind()
        if kind == gguf.GGUFValueType.ARRAY:
            entry = self._kind()
            count = self._count("entries in a list", _MOST_ENTRIES)
            return GgufValue(f"[{entry.name}]", self._list(entry, count))
        if kind == gguf.GGUFValueType.STRING:
            return GgufValue(kind.name, self._strings(1)[0])
        return GgufValue(kind.name, self._list(kind, 1)[0].item())

    def _list(self, kind: gguf.GGUFValueType, count: int) -> Any:
        if kind == gguf.GGUFValueType.STRING:
            return self._strings(count)
        if kind not in _NUMBERS:
            raise ValueError("has a list of lists")
        dtype = np.dtype(_NUMBERS[kind])
        return np.frombuffer(self._take(count * dtype.itemsize), dtype)

    def _strings(self, count: int) -> list[bytes]:
        """A large vocabulary is 300,000 of them: nothing is looked up inside the loop."""
        data, at, end = self._data, self._at, len(self._data)
        length_at = struct.Struct("<Q").unpack_from
        strings = []
        for _ in range(count):
            if at + 8 > end:
                raise _cut_short()
            (length,) = length_at(data, at)
            if length > _LONGEST_STRING:
                raise ValueError(f"has a string of {length} bytes")
            at += 8 + length
            strings.append(data[at - length : at])
        if at > end:
            raise _cut_short()
        self._at = at
        return strings

    def _tensors(self, count: int) -> dict[str, GgufTensor]:
        found = [(self._name(), *self._tensor_line()) for _ in range(count)]
        start = _aligned(self._at)
        tensors: dict[str, GgufTensor] = {}
        end = start
        for name, shape, kind, offset in found:
            if name in tensors:
                raise ValueError(f"has the tensor {name!r} twice")
            block, bytes_of_block = gguf.GGML_QUANT_SIZES[kind]
            size = bytes_of_block
            for length in shape:
                size *= length
            if shape[-1] % block:
                raise ValueError(
                    f"has the tensor {name!r} with rows of {shape[-1]}, and {kind.name} stores "
                    f"{block} together"
                )
            tensors[name] = GgufTensor(kind.name, shape, start + offset, size // block)
            if start + offset != end:
                raise ValueError(f"has the tensor {name!r} at byte {start + offset}, not {end}")
            if end + size // block > len(self._data):
                raise _cut_short()
            end = _aligned(end + size // block)
        return tensors

    def _tensor_line(self) -> tuple[tuple[int, ...], gguf.GGMLQuantizationType, int]:
        dimensions = self._unpack("<I")
        if not 1 <= dimensions <= _MOST_DIMENSIONS:
            raise ValueError(f"has a tensor of {dimensions} dimensions")
        shape = tuple(self._unpack("<Q") for _ in range(dimensions))[::-1]
        if not all(shape):
            raise ValueError(f"has a tensor of shape {shape}")
        number = self._unpack("<I")
        try:
            kind = gguf.GGMLQuantizationType(number)
        except ValueError as error:
            raise ValueError(f"has a tensor of the unknown number type {number}") from error
        return shape, kind, self._unpack("<Q")

    def _name(self) -> str:
        name = self._strings(1)[0]
        try:
            text = name.decode("ascii")
        except UnicodeDecodeError as error:
            raise ValueError(f"has the name {name[:40]!r}, which is no ASCII") from error
        if not text or not text.isprintable():
            raise ValueError(f"has the name {text[:40]!r}")
        return text

    def _kind(self) -> gguf.GGUFValueType:
        number = self._unpack("<I")
        try:
            return gguf.GGUFValueType(number)
        except ValueError as error:
            raise ValueError(f"has a value of the unknown type {number}") from error

    def _count(self, what: str, most: int) -> int:
        count = self._unpack("<Q")
        if count > most:
            raise ValueError(f"claims {count} {what}")
        return count

    def _unpack(self, form: str) -> int:
        return int(struct.unpack(form, self._take(struct.calcsize(form)))[0])

    def _take(self, size: int) -> bytes:
        data = self._data[self._at : self._at + size]
        if len(data) != size:
            raise _cut_short()
        self._at += size
        return data


def _aligned(position: int) -> int:
    return -(-position // _ALIGNMENT) * _ALIGNMENT


def _cut_short() -> ValueError:
    return ValueError("is cut short")
