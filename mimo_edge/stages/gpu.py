"""Whether the language model runs on a GPU."""

from __future__ import annotations

import llama_cpp

from ..errors import DeviceError
from .backbone_libraries import load_libraries
from .runtime_options import RuntimeOptions

__all__ = ["gpu_layers"]


def gpu_layers(options: RuntimeOptions) -> int:
    """Layers that llama.cpp puts on the GPU under these options (-1: all).

    Raises:
        MimoEdgeError: a GPU is asked for and llama.cpp was built without one.
    """
    load_libraries()
    supported = bool(llama_cpp.llama_supports_gpu_offload())
    if options.device == "cpu":
        return 0
    if options.device == "gpu" and not supported:
        raise DeviceError(
            "a GPU is asked for, but this llama.cpp was built for the CPU only; reinstall "
            "llama-cpp-python with CMAKE_ARGS=-DGGML_VULKAN=ON (or -DGGML_METAL=ON)."
        )
    return options.gpu_layers if supported else 0
