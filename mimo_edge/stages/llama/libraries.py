"""llama.cpp's libraries for kinds of processors and GPUs, where it has one for each.

A llama.cpp that is to run on many machines (`make wheelhouse` builds one) carries a library for
each generation of processors and takes the best at run time. By itself it looks for them beside
the Python interpreter, where they are not, and in the current folder, where anybody could have put
one. So they are loaded here, from where they were installed, before it looks.
"""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path
from typing import Any

import llama_cpp

from ...errors import DeviceError
from .log import complaints

__all__ = ["ggml_function", "load_libraries"]

_lock = threading.Lock()


def load_libraries() -> None:
    """Load the best library for this processor, and those for GPUs, once in a process.

    Does nothing where llama.cpp was built for one processor and has all in itself. Goes before
    the first call of llama.cpp that looks for devices.

    Raises:
        MimoEdgeError: no library that was installed runs on this processor.
    """
    # The module of llama-cpp-python that has loaded the library with these functions.
    from llama_cpp._ggml import libggml

    count = libggml.ggml_backend_reg_count
    count.restype = ctypes.c_size_t
    # The log goes to standard error otherwise; the first question for libraries starts them.
    with _lock, complaints():
        if count():
            return
        folder = Path(llama_cpp.__file__).parent / "lib"
        load = libggml.ggml_backend_load_all_from_path
        load.argtypes, load.restype = [ctypes.c_char_p], None
        load(os.fsencode(folder))
        if not count():
            raise DeviceError(
                f"no library in {folder} runs on this processor; install llama-cpp-python again, "
                "built for it."
            )


def ggml_function(name: str, result: Any, *arguments: Any) -> Any:
    """A function of ggml's own, which llama-cpp-python does not declare, with its ctypes types.

    ggml is two libraries, and llama.cpp links both. Where a library does not pass on what it is
    linked to (Windows), a function is found only in the one that it is in.
    """
    # The module of llama-cpp-python that finds and loads them.
    from llama_cpp._ctypes_extensions import load_shared_library
    from llama_cpp._ggml import libggml, libggml_base_path

    library = libggml
    if not hasattr(library, name):
        library = load_shared_library("ggml-base", libggml_base_path)
    function = library[name]  # an object of its own: types that others set do not change
    function.restype, function.argtypes = result, list(arguments)
    return function
