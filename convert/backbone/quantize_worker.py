"""The process llama.cpp's quantizer runs in: `python -m convert.backbone.quantize_worker`."""

from __future__ import annotations

import ctypes
import re
import sys
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np

from .imatrix import read_imatrix
from .worker import serve_request

__all__: list[str] = []


def _imatrix(path: Path) -> tuple[Any, list[Any]]:
    """The C array that ends with a null name, and what its pointers point into."""
    keep: list[Any] = []
    entries = read_imatrix(path)
    array = (llama_cpp.llama_model_imatrix_data * (len(entries) + 1))()
    for item, (name, values) in zip(array, entries.items(), strict=False):
        kept = np.ascontiguousarray(values, dtype=np.float32)
        item.name = name.encode()
        item.data = kept.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        item.size = kept.size
        keep.append(kept)
    return array, keep


def _tensor_types(types: dict[str, int]) -> tuple[Any, list[Any]]:
    """The C array of (pattern, type) that ends with a null pattern, and what it points into."""
    # The patterns are regular expressions that are searched for in a name.
    patterns = [f"^{re.escape(name)}$".encode() for name in types]
    array = (llama_cpp.llama_model_tensor_override * (len(types) + 1))()
    for item, pattern, kind in zip(array, patterns, types.values(), strict=False):
        item.pattern, item.type = pattern, kind
    return array, patterns


def _quantize(request: dict[str, Any]) -> int:
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = request["file_type"]
    params.nthread = request["threads"]
    params.max_buf_size = request["buffer_bytes"]
    keep: list[Any] = []
    if request["imatrix"]:
        array, keep = _imatrix(Path(request["imatrix"]))
        params.imatrix = ctypes.cast(array, type(params.imatrix))
        keep.append(array)
    if request["tensor_types"]:
        overrides, patterns = _tensor_types(request["tensor_types"])
        params.tt_overrides = ctypes.cast(overrides, type(params.tt_overrides))
        keep += [overrides, patterns]
    status = llama_cpp.llama_model_quantize(
        request["source"].encode(), request["out"].encode(), ctypes.byref(params)
    )
    del keep
    return int(status)


if __name__ == "__main__":
    sys.exit(serve_request(_quantize))
