"""ONNX graphs that no recipe writes."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any, cast

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .damage import damage

__all__ = ["mutate_graph", "mutate_weights"]

_OPERATORS = (
    *("Identity", "Neg", "Sqrt", "Log", "Reciprocal", "Shape", "Size", "NonZero", "Loop", "If"),
    *("MatMul", "Add", "Gather", "Reshape", "Softmax", "Transpose", "RandomNormal", "Nonsense"),
    *("DequantizeLinear", "Cast", "Expand", "Tile", "Concat", "TopK", "ArgMax"),
)
_FILES = ("/etc/passwd", "../bundle/backbone.gguf", "vocoder.onnx.data", "", "none", ".", "a\nb")
_NUMBERS = (0, 1, -1, 2, 7, 2**31 - 1, -(2**31), 2**62, -(2**63), 10**9)


def mutate_graph(rng: Random, path: Path) -> tuple[bytes, str]:
    """Another graph file and what was done."""
    data = path.read_bytes()
    if rng.random() < 0.15:
        return damage(rng, data)
    mutations = (
        *(_attribute, _attribute, _operator, _wiring, _node, _constant, _external, _external),
        *(_interface, _versions, _endless_loop, _enormous, _index),
    )
    while True:
        model = onnx.load(path, load_external_data=False)
        what = rng.choice(mutations)(rng, model)
        content = model.SerializeToString()
        if what and content != data:
            return content, what


def mutate_weights(rng: Random, data: bytes) -> tuple[bytes, str]:
    """Other bytes of the weights beside a graph."""
    if rng.random() < 0.4:
        return damage(rng, data)
    size = rng.choice([len(data), len(data) // 2, 4096])
    start = rng.randrange(len(data) - size + 1) // 4 * 4
    nan = np.full(size // 4 + 1, np.nan, np.float32).tobytes()[:size]
    filler = rng.choice([b"\xff" * size, bytes(size), b"\x7f" * size, rng.randbytes(size), nan])
    changed = data[:start] + filler + data[start + size :]
    return changed, f"{size} bytes {filler[:4].hex()}… at {start}"


def _attribute(rng: Random, model: onnx.ModelProto) -> str:
    node = rng.choice([node for node in model.graph.node if node.attribute])
    attribute = rng.choice(node.attribute)
    where = f"{node.name or node.op_type}.{attribute.name}"
    if rng.random() < 0.15:
        node.attribute.remove(attribute)
        return f"{where} removed"
    number = rng.choice(_NUMBERS)
    value: float | str = number
    if attribute.type == onnx.AttributeProto.INT:
        attribute.i = number
    elif attribute.type == onnx.AttributeProto.INTS and attribute.ints:
        attribute.ints[rng.randrange(len(attribute.ints))] = number
    elif attribute.type == onnx.AttributeProto.FLOAT:
        attribute.f = value = rng.choice([0.0, np.nan, np.inf, -1.0, 1e30])
    elif attribute.type == onnx.AttributeProto.STRING:
        attribute.s, value = b"x\xff", "x"
    else:
        value = rng.randrange(1, 15)
        attribute.type = cast(Any, value)
    return f"{where} = {value}"


def _operator(rng: Random, model: onnx.ModelProto) -> str:
    node = rng.choice(model.graph.node)
    old, node.op_type = node.op_type, rng.choice(_OPERATORS)
    if rng.random() < 0.2:
        node.domain = rng.choice(["com.microsoft", "ai.onnx.ml", "x"])
    return f"{node.name or old}: {old} → {node.domain} {node.op_type}"


def _wiring(rng: Random, model: onnx.ModelProto) -> str:
    node = rng.choice([node for node in model.graph.node if node.input])
    other = rng.choice(model.graph.node)
    index = rng.randrange(len(node.input))
    values = ["", "nothing", other.output[0], *(i.name for i in model.graph.initializer)]
    node.input[index] = rng.choice(values)
    return f"{node.name or node.op_type}: input {index} is {node.input[index]!r}"


def _node(rng: Random, model: onnx.ModelProto) -> str:
    node = rng.choice(model.graph.node)
    if rng.random() < 0.5:
        model.graph.node.remove(node)
        return f"{node.name or node.op_type} removed"
    model.graph.node.append(node)
    return f"{node.name or node.op_type} twice"


def _constant(rng: Random, model: onnx.ModelProto) -> str:
    tensor = rng.choice(model.graph.initializer)
    how = rng.choice(["dims", "type", "values", "removed"])
    if how == "removed":
        model.graph.initializer.remove(tensor)
    elif how == "type":
        tensor.data_type = rng.choice([0, 1, 2, 3, 6, 7, 8, 9, 10, 11, 16, 99])
    elif how == "dims" and tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(_NUMBERS)
    elif tensor.raw_data:
        tensor.raw_data = rng.choice([b"\xff", b"\0", b"\x7f"]) * len(tensor.raw_data)
    else:
        return ""
    return f"constant {tensor.name}: {how}"


def _external(rng: Random, model: onnx.ModelProto) -> str:
    tensor = rng.choice(model.graph.initializer)
    if not tensor.external_data:
        return ""
    entry = rng.choice(tensor.external_data)
    if entry.key == "location":
        entry.value = rng.choice(_FILES)
    else:
        entry.value = str(rng.choice([*_NUMBERS, "x", int(entry.value) + 4, 10**30]))
    return f"constant {tensor.name}: {entry.key} {entry.value!r}"


def _interface(rng: Random, model: onnx.ModelProto) -> str:
    side = rng.choice([model.graph.input, model.graph.output])
    value = rng.choice(side)
    shape = value.type.tensor_type.shape.dim
    how = rng.choice(["name", "type", "dim", "removed", "twice"])
    if how == "name":
        value.name += "x"
    elif how == "type":
        value.type.tensor_type.elem_type = rng.choice([1, 6, 7, 8, 10, 11])
    elif how == "dim" and shape:
        rng.choice(shape).dim_value = rng.choice(_NUMBERS)
    elif how == "removed":
        side.remove(value)
    else:
        side.append(value)
    return f"interface {value.name}: {how}"


def _versions(rng: Random, model: onnx.ModelProto) -> str:
    how = rng.choice(["ir", "opset", "metadata", "function"])
    if how == "ir":
        model.ir_version = rng.choice([0, 1, 3, 99, 2**40])
    elif how == "opset":
        rng.choice(model.opset_import).version = rng.choice([0, 1, 7, 13, 99, 2**40])
    elif how == "metadata":
        model.metadata_props.add(key="\x1b[31m", value="x" * 1000)
    else:
        body = [helper.make_node("Neg", ["a"], ["b"])]
        opsets = [helper.make_opsetid("", 17)]
        model.functions.append(helper.make_function("", "Add", ["a"], ["b"], body, opsets))
    return how


def _before(model: onnx.ModelProto, *nodes: onnx.NodeProto) -> None:
    """Put nodes before all others."""
    kept = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *kept])


def _behind_first_input(model: onnx.ModelProto, name: str) -> None:
    """Let whoever uses the first input use `name` instead."""
    first = model.graph.input[0].name
    for node in model.graph.node:
        for index, value in enumerate(node.input):
            if value == first:
                node.input[index] = name


def _endless_loop(rng: Random, model: onnx.ModelProto) -> str:
    """The first input goes round for ever."""
    first = model.graph.input[0]
    kind = first.type.tensor_type.elem_type
    value = [helper.make_tensor_value_info(name, kind, None) for name in ("l_in", "l_out")]
    state = [
        helper.make_tensor_value_info(name, onnx.TensorProto.BOOL, []) for name in ("go", "on")
    ]
    trip = helper.make_tensor_value_info("trip", onnx.TensorProto.INT64, [])
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Abs", ["l_in"], ["l_out"]),
        ],
        "body",
        [trip, state[0], value[0]],
        [state[1], value[1]],
    )
    _behind_first_input(model, "looped")
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    count = rng.choice([2**62, 10**9])
    model.graph.initializer.append(numpy_helper.from_array(np.array(count), "many"))
    _before(model, helper.make_node("Loop", ["many", "yes", first.name], ["looped"], body=body))
    return f"a loop of {count} rounds"


def _enormous(rng: Random, model: onnx.ModelProto) -> str:
    """A constant of gigabytes that a few bytes ask for."""
    size = rng.choice([2**31, 2**36, 2**45])
    shape = numpy_helper.from_array(np.array([size], np.int64), "much")
    model.graph.initializer.append(shape)
    first = model.graph.input[0]
    _behind_first_input(model, "plus_nothing")
    dtype = helper.tensor_dtype_to_np_dtype(first.type.tensor_type.elem_type)
    _before(
        model,
        helper.make_node(
            "ConstantOfShape", ["much"], ["huge"], value=numpy_helper.from_array(np.zeros(1, dtype))
        ),
        helper.make_node("ReduceMax", ["huge"], ["nothing"], keepdims=0),
        helper.make_node("Add", [first.name, "nothing"], ["plus_nothing"]),
    )
    return f"a constant of {size} values"


def _index(rng: Random, model: onnx.ModelProto) -> str:
    """The output is another one: codes far out of range, or infinite."""
    output = model.graph.output[0]
    for node in model.graph.node:
        for index, value in enumerate(node.output):
            if value == output.name:
                node.output[index] = "real_output"
    dtype = helper.tensor_dtype_to_np_dtype(output.type.tensor_type.elem_type)
    number = rng.choice([-1, 10**6, 2**40, -(2**60)] if dtype.kind == "i" else [np.nan, np.inf])
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(number, dtype), "offset"))
    model.graph.node.append(helper.make_node("Add", ["real_output", "offset"], [output.name]))
    return f"output {output.name} + {number}"
