"""What is in an ONNX file, read without trusting it and without the package `onnx`.

Only what a conversion writes is understood: one flat graph of operators with numbers as
attributes, and weights in the file or in the file beside it. Anything else, a graph inside an
operator above all (`Loop`, `If`, functions), is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .protobuf import fields, packed_integers, signed

__all__ = ["OnnxModel", "OnnxNode", "OnnxTensor", "read_model"]

_LARGEST_FILE = 1 << 28
"""Bytes of a graph without the weights beside it."""
_MOST_ITEMS = 100_000
"""Operators, or weights, of a graph."""
_MOST_DIMENSIONS = 8
_DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("u1"),
    3: np.dtype("i1"),
    6: np.dtype("<i4"),
    7: np.dtype("<i8"),
    9: np.dtype("?"),
}
"""ONNX's number for a type → NumPy's; of those that a conversion writes."""
_EXTERNAL = 1
_FLOAT, _INT, _INTS = 1, 2, 7

Attribute = float | list[int]
_T = TypeVar("_T")


@dataclass(frozen=True)
class OnnxTensor:
    """A constant of a graph."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    values: NDArray[Any] | None
    """None if they lie in the file beside it, where their place was checked."""

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class OnnxNode:
    """One operation of a graph."""

    operator: str
    """With its domain in front if it is not ONNX's own: `com.microsoft.MatMulNBits`."""
    inputs: tuple[str, ...]
    """Empty names stand for inputs that are left out."""
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]
    """A float, or a list of integers, which for a single one has one entry."""


@dataclass(frozen=True)
class OnnxModel:
    """A graph, its operators in the order of the file."""

    nodes: list[OnnxNode] = field(default_factory=list)
    constants: dict[str, OnnxTensor] = field(default_factory=dict)
    inputs: dict[str, int] = field(default_factory=dict)
    """Name → ONNX's number for its type."""


def read_model(path: Path) -> OnnxModel:
    """Read a graph; the weights beside it are not read, but lie in that file.

    Raises:
        ValueError: it is none, or has parts that no conversion writes, as a part of a sentence.
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    if size > _LARGEST_FILE:
        raise ValueError(f"has {size} bytes")
    beside = path.with_name(f"{path.name}.data")
    model = OnnxModel()
    weights = _Weights(beside.name, beside.stat().st_size if beside.is_file() else 0)
    graphs = 0
    for number, value in fields(memoryview(path.read_bytes())):
        if number == 7:
            graphs += 1
            _read_graph(_message(value), model, weights)
        elif number not in (1, 2, 3, 4, 5, 6, 8, 14):
            raise ValueError(f"has a part of kind {number}")  # functions, training
    if graphs != 1:
        raise ValueError(f"has {graphs} graphs")
    return model


class _Weights:
    """The file beside a graph, handed out to its tensors byte by byte."""

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._size = size
        self._left = size

    def take(self, tensor: str, entries: Mapping[str, str], expected: int) -> None:
        """Check the place of one tensor's values."""
        if entries.get("location") != self._name or not entries.keys() <= _ENTRIES:
            raise ValueError(f"has the values of {tensor!r} in another file than {self._name}")
        offset, length = (_digits(tensor, entries.get(key, "0")) for key in ("offset", "length"))
        self._left -= length
        if length != expected or offset + length > self._size or self._left < 0:
            raise ValueError(
                f"has the values of {tensor!r} at {offset} to {offset + length} of "
                f"{self._name}, which has {self._size} bytes, and needs {expected}"
            )


_ENTRIES = {"location", "offset", "length", "checksum"}


def _read_graph(data: memoryview, model: OnnxModel, weights: _Weights) -> None:
    for number, value in fields(data):
        if number == 1:
            model.nodes.append(_node(_message(value)))
        elif number == 5:
            name, tensor = _tensor(_message(value), weights)
            _add(model.constants, name, tensor)
        elif number == 11:
            name, kind = _value_info(_message(value))
            _add(model.inputs, name, kind)
        elif number not in (2, 10, 12, 13, 16):
            raise ValueError(f"has a part of kind {number} in its graph")  # sparse weights
        if len(model.nodes) > _MOST_ITEMS or len(model.constants) > _MOST_ITEMS:
            raise ValueError(f"has more than {_MOST_ITEMS} operators or weights")


def _node(data: memoryview) -> OnnxNode:
    texts: dict[int, list[str]] = {1: [], 2: [], 3: [], 4: [], 6: [], 7: []}
    attributes: dict[str, Attribute] = {}
    for number, value in fields(data):
        if number in texts:
            texts[number].append(_text(value))
        elif number == 5:
            name, attribute = _attribute(_message(value))
            _add(attributes, name, attribute)
        elif number != 9:
            raise ValueError(f"has an operator with a part of kind {number}")
    parts = [text for text in (*texts[7][-1:], *texts[4][-1:]) if text]
    return OnnxNode(".".join(parts), tuple(texts[1]), tuple(texts[2]), attributes)


def _attribute(data: memoryview) -> tuple[str, Attribute]:
    name, kind = "", 0
    integers: list[int] = []
    real: float | None = None
    for number, value in fields(data):
        if number == 1:
            name = _text(value)
        elif number == 2:
            real = float(np.frombuffer(_message(value), "<f4")[0])
        elif number in (3, 8):
            integers += packed_integers(value)
        elif number == 20:
            kind = _integer(value)
        elif number != 13:
            raise ValueError(f"has an attribute {name!r} that is no number")  # a graph, a tensor
    if kind == _FLOAT and not integers:
        return name, real or 0.0
    if kind in (_INT, _INTS) and real is None:
        return name, integers or ([0] if kind == _INT else [])
    raise ValueError(f"has an attribute {name!r} of kind {kind}")


def _tensor(data: memoryview, weights: _Weights) -> tuple[str, OnnxTensor]:
    name, kind, location = "", 0, 0
    shape: list[int] = []
    raw: memoryview | None = None
    entries: dict[str, str] = {}
    for number, value in fields(data):
        if number == 1:
            shape += packed_integers(value)
        elif number == 2:
            kind = _integer(value)
        elif number == 8:
            name = _text(value)
        elif number == 9:
            raw = _message(value)
        elif number == 13:
            key, text = (_text(part) for _, part in fields(_message(value)))
            _add(entries, key, text)
        elif number == 14:
            location = _integer(value)
        elif number not in (12, 16):
            raise ValueError(f"has a weight {name!r} with a part of kind {number}")
    if kind not in _DTYPES:
        raise ValueError(f"has a weight {name!r} of the type {kind}")
    if len(shape) > _MOST_DIMENSIONS or min(shape, default=1) < 0:
        raise ValueError(f"has a weight {name!r} of shape {shape}")
    dtype = _DTYPES[kind]
    expected = math.prod(shape) * dtype.itemsize
    if location == _EXTERNAL and raw is None:
        weights.take(name, entries, expected)
        return name, OnnxTensor(dtype, tuple(shape), None)
    if location or entries or raw is None or len(raw) != expected:
        raise ValueError(f"has a weight {name!r} whose values do not fill its shape {shape}")
    return name, OnnxTensor(dtype, tuple(shape), np.frombuffer(raw, dtype).reshape(shape))


def _value_info(data: memoryview) -> tuple[str, int]:
    """Name and element type of an input: ValueInfoProto, TypeProto, TypeProto.Tensor."""
    name, kind = "", 0
    for number, value in fields(data):
        if number == 1:
            name = _text(value)
        elif number == 2:
            tensors = [_message(part) for place, part in fields(_message(value)) if place == 1]
            for tensor in tensors:
                kind = next((_integer(v) for n, v in fields(tensor) if n == 1), 0)
    return name, kind


def _add(items: dict[str, _T], name: str, item: _T) -> None:
    if name in items:
        raise ValueError(f"has {name!r} twice")
    items[name] = item


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("has a number where a message should be")
    return value


def _integer(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise ValueError("has a message where a number should be")
    return signed(value)


def _text(value: int | memoryview) -> str:
    data = bytes(_message(value))
    text = data.decode("utf-8", "backslashreplace")
    if not text.isprintable() or text.encode() != data:
        raise ValueError(f"has the name {text[:40]!r}")
    return text


def _digits(tensor: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ValueError(f"has the values of {tensor!r} at {text[:40]!r}")
    return int(text)
