"""The process llama.cpp's quantizer runs in: `python -m convert.backbone.quantize_worker`.

A process of its own, because the quantizer is one C call of many minutes that
Python cannot interrupt, that may abort the process, and whose buffers are to be
gone afterwards. Standard input carries one line of JSON, the request, and stays
open: when it ends, the parent is gone and so is the work's purpose. Everything
llama.cpp logs goes to standard output. Exit status 0: the file is written.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np

from .imatrix import read_imatrix

__all__: list[str] = []


def _log(_level: int, text: bytes, _data: int | None) -> None:
    os.write(1, text)


_LOG = llama_cpp.llama_log_callback(_log)
"""llama.cpp keeps the pointer, so this must live as long as the process."""


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


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
    # Bare names: llama.cpp opens the output with the C library, which on Windows
    # does not understand UTF-8 paths.
    os.chdir(request["folder"])
    status = llama_cpp.llama_model_quantize(
        request["source"].encode(), request["out"].encode(), ctypes.byref(params)
    )
    del keep
    return int(status)


def main() -> int:
    """Run the request on standard input; the parent handles interrupts."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    llama_cpp.llama_log_set(_LOG, ctypes.c_void_p())
    return _quantize(request)


if __name__ == "__main__":
    sys.exit(main())
