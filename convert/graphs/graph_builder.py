"""A thin layer over onnx-ir for writing inference graphs by hand.

A `GraphBuilder` collects nodes and initializers in the order of execution. Big
weights are lazy: they are read from the checkpoint, converted and written one
after the other while the graph is saved, so memory does not grow with the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

__all__ = ["MICROSOFT", "OPSET", "GraphBuilder"]

OPSET = 21
MICROSOFT = "com.microsoft"
"""Domain of onnxruntime's own operators: attention with a KV cache, block-quantized MatMul, …"""

_IR_VERSION = 10
_EXTERNAL_ALIGNMENT = 65536
"""Bytes; what Windows needs to map a tensor of the external file into memory."""


class GraphBuilder:
    """One graph under construction; every method that adds a node returns its output value."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._inputs: list[ir.Value] = []
        self._outputs: list[ir.Value] = []
        self._nodes: list[ir.Node] = []
        self._initializers: dict[str, ir.Value] = {}
        self._count = 0

    def input(self, name: str, dtype: str, shape: Sequence[int | str]) -> ir.Value:
        """Declare a graph input; strings are symbolic dimensions."""
        value = ir.val(name, ir.DataType[dtype.upper()], ir.Shape(shape))
        self._inputs.append(value)
        return value

    def output(
        self, value: ir.Value, name: str, dtype: str, shape: Sequence[int | str]
    ) -> ir.Value:
        """Declare `value` as an output of the graph, by this name; strings are free dimensions."""
        value = self.op("Identity", value)
        value.name = name
        value.dtype = ir.DataType[dtype.upper()]
        value.shape = ir.Shape(shape)
        self._outputs.append(value)
        return value

    def ops(
        self,
        op_type: str,
        *inputs: ir.Value | None,
        outputs: int = 1,
        domain: str = "",
        **attributes: Any,
    ) -> Sequence[ir.Value]:
        """Add a node with several outputs; an attribute of None is left out."""
        node = ir.node(
            op_type,
            inputs,
            attributes={key: value for key, value in attributes.items() if value is not None},
            domain=domain,
            num_outputs=outputs,
            name=f"{op_type}_{self._next()}",
        )
        for value in node.outputs:
            value.name = f"v{self._next()}"
        self._nodes.append(node)
        return node.outputs

    def op(
        self, op_type: str, *inputs: ir.Value | None, domain: str = "", **attributes: Any
    ) -> ir.Value:
        """Add a node with one output."""
        return self.ops(op_type, *inputs, domain=domain, **attributes)[0]

    def constant(self, array: NDArray[Any] | Sequence[int] | float | int) -> ir.Value:
        """A small constant; Python integers become int64, floats float32."""
        data = np.asarray(array)
        if data.dtype == np.float64:
            data = data.astype(np.float32)
        tensor = ir.tensor(np.ascontiguousarray(data).reshape(data.shape))
        return self._initializer(f"c{self._next()}", tensor)

    def weight(
        self, name: str, dtype: str, shape: Sequence[int], load: Callable[[], NDArray[Any]]
    ) -> ir.Value:
        """A weight that `load` produces, with this dtype and shape, when the graph is saved."""
        if name in self._initializers:
            return self._initializers[name]

        def evaluate() -> ir.TensorProtocol:
            data = load()
            if data.shape != tuple(shape):
                raise ValueError(f"{name} has shape {data.shape}, declared as {tuple(shape)}")
            return ir.Tensor(np.ascontiguousarray(data), dtype=kind)

        kind = ir.DataType[dtype.upper()]
        return self._initializer(
            name, ir.LazyTensor(evaluate, dtype=kind, shape=ir.Shape(shape), name=name)
        )

    def save(self, path: Path, progress: Callable[[int], None] | None = None) -> None:
        """Write `path` and its weights to `path` + `.data`; `progress` gets each weight's bytes.

        Raises:
            Exception: whatever a weight's `load` raises, or writing does.
        """
        graph = ir.Graph(
            self._inputs,
            self._outputs,
            nodes=self._nodes,
            initializers=list(self._initializers.values()),
            opset_imports={"": OPSET, MICROSOFT: 1},
            name=self.name,
        )
        model = ir.Model(graph, ir_version=_IR_VERSION, producer_name="mimo_edge")
        try:
            ir.save(
                model,
                path,
                external_data=f"{path.name}.data",
                size_threshold_bytes=4096,
                alignment=_EXTERNAL_ALIGNMENT,
                callback=(lambda tensor, _: progress(tensor.nbytes)) if progress else None,
            )
        except ir.serde.SerdeError as error:
            raise _unwrapped(error) from error

    def weight_bytes(self) -> int:
        """Bytes of all weights and constants, before anything is written."""
        return sum(
            value.const_value.nbytes
            for value in self._initializers.values()
            if value.const_value is not None
        )

    # The few operations that every graph needs; plain ONNX under their own names.

    def reshape(self, x: ir.Value, shape: Sequence[int]) -> ir.Value:
        """Reshape; 0 keeps a dimension, -1 infers one."""
        return self.op("Reshape", x, self.constant(shape))

    def transpose(self, x: ir.Value, perm: Sequence[int]) -> ir.Value:
        """Put the dimensions into another order, as NumPy's `transpose` does."""
        return self.op("Transpose", x, perm=list(perm))

    def dim(self, x: ir.Value, axis: int) -> ir.Value:
        """Size of one dimension, int64 [1]."""
        return self.op("Shape", x, start=axis, end=axis + 1)

    def scalar(self, x: ir.Value) -> ir.Value:
        """The only element of an array [1], as a scalar []."""
        return self.op("Squeeze", x, self.constant([0]))

    def slice(
        self, x: ir.Value, start: int | ir.Value, end: int | ir.Value | None, axis: int
    ) -> ir.Value:
        """`x[start:end]` along one axis; end None is the whole rest."""
        first = self.constant([start]) if isinstance(start, int) else start
        if end is None:
            end = np.iinfo(np.int64).max
        last = self.constant([end]) if isinstance(end, int) else end
        return self.op("Slice", x, first, last, self.constant([axis]))

    def split(self, x: ir.Value, sizes: Sequence[int], axis: int) -> Sequence[ir.Value]:
        """Cut an array into pieces of these sizes along an axis."""
        return self.ops("Split", x, self.constant(sizes), outputs=len(sizes), axis=axis)

    def concat(self, parts: Sequence[ir.Value], axis: int) -> ir.Value:
        """Join arrays along an axis."""
        return self.op("Concat", *parts, axis=axis)

    def range(self, limit: ir.Value) -> ir.Value:
        """0, 1, … limit-1 as int64; limit is int64 [1]."""
        return self.op("Range", self.constant(0), self.scalar(limit), self.constant(1))

    def cast(self, x: ir.Value, dtype: str) -> ir.Value:
        """The values as another element type."""
        return self.op("Cast", x, to=int(ir.DataType[dtype.upper()]))

    def _initializer(self, name: str, tensor: ir.TensorProtocol) -> ir.Value:
        tensor.name = name
        value = ir.Value(name=name, const_value=tensor, shape=ir.Shape(tensor.shape.numpy()))
        value.dtype = tensor.dtype
        self._initializers[name] = value
        return value

    def _next(self) -> int:
        self._count += 1
        return self._count


def _unwrapped(error: BaseException) -> BaseException:
    """What was raised first: onnx-ir wraps it once at every level of the model."""
    while isinstance(error, ir.serde.SerdeError) and error.__cause__ is not None:
        error = error.__cause__
    return error
