"""Whether an ONNX graph is of the kind that a conversion writes, before onnxruntime loads it.

onnxruntime runs whatever a graph says: a loop without an end, a constant of gigabytes that it
computes while it loads, a division by zero that ends the process. Here is the list of operators
and attributes that `convert/` uses, with bounds; everything else is refused.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import BadBundleError
from .onnx_model import Attribute, OnnxModel, OnnxNode, OnnxTensor, read_model

__all__ = ["check_graph"]

_MOST_COMPUTED = 1 << 24
"""Values of a constant that onnxruntime computes while it loads a graph."""
_LARGEST_INTEGER = 1 << 24
_LARGEST_FACTOR = 1 << 12
_TO_THE_END = np.iinfo(np.int64).max
"""How ONNX writes the end of a slice that takes all the rest."""
_FLOAT, _INTEGERS, _BOOL = 1, (2, 3, 6, 7), 9
"""ONNX's numbers for types of values."""
_INT64 = 7

_MICROSOFT = "com.microsoft."
_PLAIN = (
    *("Add", "And", "Cos", "Div", "Exp", "Expand", "GreaterOrEqual", "Identity", "Less"),
    *("LessOrEqual", "MatMul", "Min", "Mod", "Mul", "Pad", "Range", "Reshape", "Sin", "Size"),
    *("Slice", "Sqrt", "Squeeze", "Sub", "Unsqueeze", "Where", "Gelu"),
    f"{_MICROSOFT}DynamicQuantizeMatMul",
)
_OPERATORS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(_PLAIN, ()),
    "ArgMin": ("axis", "keepdims"),
    "Cast": ("to",),
    "Concat": ("axis",),
    "Conv": ("kernel_shape", "strides", "pads"),
    "ConvTranspose": ("kernel_shape", "strides"),
    "Gather": ("axis",),
    "LayerNormalization": ("axis", "epsilon"),
    "ReduceMean": ("keepdims",),
    "ReduceSum": ("keepdims",),
    "ReduceSumSquare": ("keepdims",),
    "Shape": ("start", "end"),
    "SimplifiedLayerNormalization": ("axis", "epsilon", "stash_type"),
    "Softmax": ("axis",),
    "Split": ("axis",),
    "Transpose": ("perm",),
    f"{_MICROSOFT}GroupQueryAttention": ("num_heads", "kv_num_heads", "do_rotary", "scale"),
    f"{_MICROSOFT}MatMulNBits": ("K", "N", "bits", "block_size", "accuracy_level"),
    f"{_MICROSOFT}MultiHeadAttention": ("num_heads", "unidirectional"),
    f"{_MICROSOFT}QuickGelu": ("alpha",),
    f"{_MICROSOFT}RotaryEmbedding": ("num_heads", "interleaved"),
    f"{_MICROSOFT}SkipSimplifiedLayerNormalization": ("epsilon",),
}
"""Operator → the attributes that it may have."""
_BOUNDS: Mapping[str, tuple[float, float]] = {
    "K": (1, 1 << 20),
    "N": (1, 1 << 20),
    "accuracy_level": (0, 4),
    "alpha": (-100, 100),
    "axis": (-8, 8),
    "bits": (4, 8),
    "block_size": (16, 256),
    "do_rotary": (0, 1),
    "end": (-8, 8),
    "epsilon": (0, 1),
    "interleaved": (0, 1),
    "keepdims": (0, 1),
    "kernel_shape": (1, 16_384),
    "kv_num_heads": (1, 1024),
    "num_heads": (1, 1024),
    "pads": (0, 16_384),
    "perm": (0, 8),
    "scale": (0, 1),
    "start": (-8, 8),
    "stash_type": (1, 1),
    "strides": (1, 16_384),
    "to": (1, 9),
    "unidirectional": (0, 1),
}
"""Attribute → least and largest of its numbers."""


@dataclass(frozen=True)
class _Value:
    """What is known of a value between two operators."""

    kind: int
    """ONNX's number of its type."""
    shape: tuple[int, ...] | None
    """If it is a constant, or computed of constants only; else None."""
    multiplied: bool = False
    """Whether it comes from a product of integers, as a size does that was made larger."""


def check_graph(path: Path) -> None:
    """Check the operators of a graph, their attributes, and what they compute of constants.

    Raises:
        MimoEdgeError: it cannot be read, or is not what a conversion writes.
    """
    try:
        for complaint in _complaints(read_model(path)):
            raise ValueError(complaint)
    except OSError as error:
        raise BadBundleError(
            f"{path} does not load ({error.strerror or error}); copy the bundle again or convert "
            "again."
        ) from error
    except ValueError as error:
        raise BadBundleError(
            f"{path} {error}, and no conversion writes that; copy the bundle again or convert "
            "again."
        ) from error


def _complaints(model: OnnxModel) -> Iterator[str]:
    known = {name: _Value(kind, None) for name, kind in model.inputs.items()}
    for name, constant in model.constants.items():
        if name in known:
            yield f"has {name!r} twice"
        yield from _of_constant(name, constant)
        known[name] = _Value(_kind_of(constant), constant.shape)
    computed = 0
    for node in model.nodes:
        if node.operator not in _OPERATORS:
            yield f"has the operator {node.operator!r}"
        yield from _of_attributes(node)
        for name in node.inputs:
            if name and name not in known:
                yield f"uses {name!r} before there is one"
        inputs = [known.get(name) for name in node.inputs]
        yield from _of_arithmetic(node, inputs, model)
        shape = _constant_shape(node, inputs, model.constants)
        computed += math.prod(shape) if shape is not None else 0
        if computed > _MOST_COMPUTED:
            yield f"computes {computed} values while it loads"
        for name in filter(None, node.outputs):
            if name in known:
                yield f"has {name!r} twice"
            known[name] = _Value(
                _result_kind(node, inputs), shape, shape is None and _is_multiplied(node, inputs)
            )


def _of_constant(name: str, constant: OnnxTensor) -> Iterator[str]:
    """Integers are sizes and places: what is large makes something large."""
    values = constant.values
    if values is None or constant.dtype.kind != "i":
        return
    large = values[(values > _LARGEST_INTEGER) | (values < -_LARGEST_INTEGER)]
    if (large != _TO_THE_END).any():
        yield f"has the number {large[large != _TO_THE_END][0]} in {name!r}"


def _of_attributes(node: OnnxNode) -> Iterator[str]:
    allowed = _OPERATORS.get(node.operator, ())
    for name, value in node.attributes.items():
        if name not in allowed:
            yield f"has the attribute {name!r} in {node.operator!r}"
            return
        least, most = _BOUNDS[name]
        numbers: list[float] = [*value] if isinstance(value, list) else [value]
        if len(numbers) > 8 or not all(least <= number <= most for number in numbers):
            yield f"has the attribute {name!r} of {node.operator!r} as {str(value)[:60]}"


def _of_arithmetic(node: OnnxNode, inputs: list[_Value | None], model: OnnxModel) -> Iterator[str]:
    """What onnxruntime does not look after itself."""
    constants = model.constants
    integers = bool(inputs) and inputs[0] is not None and inputs[0].kind in _INTEGERS
    if node.operator == "Mul" and integers:
        yield from _of_product(node, inputs, constants)
    if node.operator in ("Div", "Mod") and integers:
        divisor = constants.get(node.inputs[-1])
        if divisor is None or divisor.values is None or not divisor.values.all():
            yield "divides integers by what may be zero"
    if node.operator.endswith("RotaryEmbedding"):
        start = constants.get(node.inputs[1]) if len(node.inputs) == 4 else None
        if start is None or start.values is None or start.shape != (1,) or start.values.any():
            yield "reads rotary tables from another place than their beginning"
    if node.operator.endswith("GroupQueryAttention"):
        yield from _of_cached_attention(node, model)
    if node.operator.endswith("MatMulNBits"):
        yield from _of_quantized_product(node, constants)


def _of_cached_attention(node: OnnxNode, model: OnnxModel) -> Iterator[str]:
    """How much of a cache is read and written is said by the runtime, never by the graph."""
    lengths, tables = node.inputs[5:7], [model.constants.get(name) for name in node.inputs[7:]]
    shapes = {table.shape for table in tables if table}
    if not all(name in model.inputs for name in lengths) or len(lengths) != 2:
        yield "computes how long a cache is"
    if len(tables) != 2 or None in tables or len(shapes) != 1 or len(shapes.pop()) != 2:
        yield "has rotary tables that do not fit each other"


def _of_product(
    node: OnnxNode, inputs: list[_Value | None], constants: Mapping[str, OnnxTensor]
) -> Iterator[str]:
    """A size may be multiplied once, by a small number: what is made of it stays in bounds."""
    sizes = [value for value in inputs if value and value.shape is None]
    factors = [constants[name].values for name in node.inputs if name in constants]
    small = all(
        values is not None and np.abs(values).max() <= _LARGEST_FACTOR for values in factors
    )
    if sizes and (len(sizes) > 1 or sizes[0].multiplied or not factors or not small):
        yield "multiplies sizes without a bound"


def _is_multiplied(node: OnnxNode, inputs: list[_Value | None]) -> bool:
    if node.operator in ("Shape", "Size"):
        return False
    product = node.operator == "Mul" and any(value and value.kind in _INTEGERS for value in inputs)
    return product or any(value and value.multiplied for value in inputs)


def _of_quantized_product(node: OnnxNode, constants: Mapping[str, OnnxTensor]) -> Iterator[str]:
    """Blocks, scales and zeros have to be as many as the attributes say: else memory beyond is
    read."""
    rows, columns, bits, block = (
        _integer(node.attributes.get(name)) for name in ("N", "K", "bits", "block_size")
    )
    weights, scales, zeros = (constants.get(name) for name in (*node.inputs[1:4], *[""] * 3)[:3])
    count = len(node.inputs)
    if bits not in (4, 8) or block & (block - 1) or block < 16 or count not in (3, 4):
        yield f"has a quantized product of {bits} bits in blocks of {block}"
        return
    blocks = -(-columns // block)
    wanted = (rows, blocks, block * bits // 8)
    found = weights.shape if weights else None
    if found != wanted or scales is None or scales.size != rows * blocks:
        yield f"has quantized weights of shape {found} where {wanted} belongs"
    if count == 4:
        wanted_zeros = rows * -(-blocks * bits // 8)
        if zeros is None or zeros.dtype.name != "uint8" or zeros.size != wanted_zeros:
            yield f"has zeros of quantized weights that are not {wanted_zeros} bytes"


def _integer(value: Attribute | None) -> int:
    return value[0] if isinstance(value, list) and len(value) == 1 else 0


def _kind_of(constant: OnnxTensor) -> int:
    kinds = {"float32": _FLOAT, "bool": _BOOL, "uint8": 2, "int8": 3, "int32": 6}
    return kinds.get(constant.dtype.name, _INT64)


def _result_kind(node: OnnxNode, inputs: list[_Value | None]) -> int:
    """The type of a node's outputs, as far as integers are told from the rest."""
    if node.operator in ("Shape", "Size", "ArgMin"):
        return _INT64
    if node.operator in ("And", "GreaterOrEqual", "Less", "LessOrEqual"):
        return _BOOL
    if node.operator == "Cast":
        return _integer(node.attributes.get("to"))
    if node.operator.startswith(_MICROSOFT):
        return _FLOAT
    chosen = inputs[1:] if node.operator == "Where" else inputs
    return next((value.kind for value in chosen if value), _FLOAT)


def _constant_shape(
    node: OnnxNode, inputs: list[_Value | None], constants: Mapping[str, OnnxTensor]
) -> tuple[int, ...] | None:
    """The shape of what a node computes of constants alone; None where an input is none.

    Raises:
        ValueError: no conversion computes this of constants.
    """
    shapes = [value.shape for value in inputs if value]
    known = [shape for shape in shapes if shape is not None]
    if not shapes or len(known) < len(shapes):
        return None
    if node.operator in _ELEMENTWISE:
        rows = itertools.zip_longest(*(shape[::-1] for shape in known), fillvalue=1)
        return tuple(max(row) for row in rows)[::-1]
    if node.operator == "Concat":
        axis = _integer(node.attributes.get("axis"))
        if any(len(shape) != len(known[0]) for shape in known) or axis >= len(known[0]):
            raise ValueError("joins constants of different kinds")
        joined = list(known[0])
        joined[axis] = sum(shape[axis] for shape in known)
        return tuple(joined)
    if node.operator == "Transpose":
        return tuple(reversed(known[0]))  # as large, whatever the order
    if node.operator in ("Unsqueeze", "Reshape") and len(node.inputs) == 2:
        argument = constants.get(node.inputs[1])
        if argument is not None and argument.values is not None:
            numbers = [int(number) for number in argument.values.reshape(-1)]
            return (_unsqueezed if node.operator == "Unsqueeze" else _reshaped)(known[0], numbers)
    raise ValueError(f"has the operator {node.operator!r} on constants")


_ELEMENTWISE = frozenset(("Add", "Sub", "Mul", "Mod", "Cast", "Cos", "Sin"))


def _unsqueezed(shape: tuple[int, ...], axes: list[int]) -> tuple[int, ...]:
    rank = len(shape) + len(axes)
    places = {axis % rank for axis in axes}
    if len(places) != len(axes):
        raise ValueError("has one axis twice")
    sizes = iter(shape)
    return tuple(1 if place in places else next(sizes) for place in range(rank))


def _reshaped(shape: tuple[int, ...], sizes: list[int]) -> tuple[int, ...]:
    if math.prod(sizes) != math.prod(shape) or min(sizes, default=1) < 1:
        raise ValueError(f"lays a constant of shape {shape} out as {sizes}")
    return tuple(sizes)
