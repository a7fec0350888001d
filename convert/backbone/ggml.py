"""Functions of ggml, the library below llama.cpp, that llama-cpp-python does not wrap."""

from __future__ import annotations

import ctypes
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
from numpy.typing import NDArray

__all__ = ["node_bytes", "node_name", "node_values", "quantize_rows"]


def _library() -> ctypes.CDLL:
    folder = Path(llama_cpp.__file__).parent / "lib"
    library = ctypes.CDLL(str(min(folder.glob("*ggml-base*"))))
    node, size, row = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64
    for name, result, arguments in (
        ("ggml_get_name", ctypes.c_char_p, (node,)),
        ("ggml_nbytes", size, (node,)),
        ("ggml_backend_tensor_get", None, (node, ctypes.c_void_p, size, size)),
        (
            "ggml_quantize_chunk",
            size,
            (ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, row, row, row, ctypes.c_void_p),
        ),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, list(arguments)
    return library


_GGML = _library()


def node_name(node: int) -> str:
    """Name of a node of a graph, by its address."""
    return str(_GGML.ggml_get_name(node).decode())


def node_bytes(node: int) -> int:
    """Bytes of a node's values."""
    return int(_GGML.ggml_nbytes(node))


def node_values(node: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A copy of a node's values, which are float32 and of this shape, wherever they are."""
    values = np.empty(shape, np.float32)
    assert values.nbytes == node_bytes(node)
    _GGML.ggml_backend_tensor_get(node, values.ctypes.data, 0, values.nbytes)
    return values


def quantize_rows(
    values: NDArray[np.float32], kind: gguf.GGMLQuantizationType
) -> NDArray[np.uint8]:
    """Rows [rows, columns] in one of the quantized types, [rows, bytes of a row]."""
    values = np.ascontiguousarray(values, np.float32)
    rows, columns = values.shape
    blocks = np.empty(gguf.quant_shape_to_byte_shape(values.shape, kind), np.uint8)
    written = _GGML.ggml_quantize_chunk(
        int(kind), values.ctypes.data, blocks.ctypes.data, 0, rows, columns, None
    )
    assert written == blocks.nbytes
    return blocks
