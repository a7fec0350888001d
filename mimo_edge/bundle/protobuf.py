"""Protobuf's wire format, as far as it takes to look into an ONNX file without its schema."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["fields", "packed_integers", "signed"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a message: integers as unsigned, the rest as bytes.

    Raises:
        ValueError: it is no message, or cut short.
    """
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            length, at = _varint(data, at)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"has a field of kind {kind}")
        if length > end - at:
            raise ValueError("is cut short")
        yield key >> 3, data[at : at + length]
        at += length


def packed_integers(value: int | memoryview) -> list[int]:
    """The entries of a repeated int64, which may come one by one or all together."""
    if isinstance(value, int):
        return [signed(value)]
    numbers = []
    at = 0
    while at < len(value):
        number, at = _varint(value, at)
        numbers.append(signed(number))
    return numbers


def signed(value: int) -> int:
    """An int64 from its unsigned form."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number and the place behind it."""
    result = 0
    for count, byte in enumerate(data[at : at + _LONGEST_VARINT]):
        result |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return result & ((1 << 64) - 1), at + count + 1
    raise ValueError("is cut short")
