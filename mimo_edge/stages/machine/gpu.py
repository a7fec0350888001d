"""Which GPUs llama.cpp finds on this machine, and which of them a model is to use."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import llama_cpp

from ...errors import BadBundleError, BadInputError, DeviceError, MimoEdgeError
from ...system.memory import is_memory_fault, no_memory
from ..llama.libraries import ggml_function, load_libraries
from .runtime_options import RuntimeOptions

__all__ = [
    "Gpu",
    "GpuFailedError",
    "chosen_gpus",
    "does_not_load",
    "gpu_layers",
    "gpus",
    "is_chosen_here",
    "load_model",
]

_GPU, _INTEGRATED = 1, 2
"""`enum ggml_backend_dev_type`; 0 is the processor, 3 a library that helps it."""
_SOFTWARE = ("llvmpipe", "lavapipe", "softpipe", "swiftshader", "basic render", "paravirtual")
"""In the description of a device that computes on the processor, or of a virtual one that only
draws windows: slower than llama.cpp on the processor itself. (Vulkan knows what such a device is,
but llama.cpp does not pass that on.)"""
_LIBRARIES = ("Vulkan", "Metal", "CUDA", "HIP", "SYCL", "OpenCL")
_METAL = "MTL"


class GpuFailedError(DeviceError):
    """A GPU does not take what is put on it: it has too little memory, or its driver a fault."""

    def __init__(self, fault: str, device: str, reason: str) -> None:
        super().__init__(
            f"{fault} on {device} ({reason}); close other programs that use its memory, update "
            "its driver, or run on the CPU."
        )
        self.reason = reason
        """What its driver or llama.cpp says."""


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A device that llama.cpp can put layers on."""

    name: str
    """llama.cpp's name, for example `Vulkan0`."""
    description: str
    """What its driver calls it."""
    library: str
    """What llama.cpp reaches it through: Vulkan, MTL (Metal), CUDA."""
    free: int
    """Bytes of its memory that are free; where the driver does not tell, all of it."""
    total: int
    """Bytes of its memory; 0: it does not say."""
    integrated: bool
    """Whether its memory is a part of the machine's."""
    software: bool
    """Whether it is a program that computes on the processor, for tests."""
    handle: int = field(repr=False, default=0)
    """llama.cpp's pointer to it, valid in this process."""

    @property
    def shares_memory(self) -> bool:
        """Whether what it holds is taken from the machine's memory."""
        return self.integrated or self.software or self.library == _METAL

    @property
    def maps_files(self) -> bool:
        """Whether it reads weights where a file is mapped, instead of a copy of them."""
        return self.library == _METAL


def gpus() -> list[Gpu]:
    """All that llama.cpp was built for and finds, in its order.

    A software device of Vulkan is among them only if the environment variable
    GGML_VK_VISIBLE_DEVICES says so: llama.cpp itself hides it.
    """
    load_libraries()
    count = ggml_function("ggml_backend_dev_count", ctypes.c_size_t)
    device = ggml_function("ggml_backend_dev_get", ctypes.c_void_p, ctypes.c_size_t)
    kind = ggml_function("ggml_backend_dev_type", ctypes.c_int, ctypes.c_void_p)
    handles = [device(index) for index in range(count())]
    return [_look_at(handle) for handle in handles if kind(handle) in (_GPU, _INTEGRATED)]


def chosen_gpus(options: RuntimeOptions) -> list[Gpu]:
    """The GPUs that these options want the backbone on; none: it runs on the processor.

    `auto` takes what is faster than the processor: no software device. Of several kinds it takes
    those with memory of their own.

    Raises:
        MimoEdgeError: a GPU is asked for, and llama.cpp finds none or none of that name.
    """
    wanted = options.device.strip()
    if wanted.lower() == "cpu":
        return []
    found = gpus()
    if wanted.lower() not in ("auto", "gpu"):
        return [_named(name.strip(), found) for name in wanted.split(",")]
    real = [gpu for gpu in found if not gpu.software]
    own = [gpu for gpu in real if not gpu.integrated]
    if own or real or wanted.lower() == "auto":
        return own or real[:1]
    if not found:
        raise DeviceError(_none_found())
    return found[:1]


def gpu_layers(options: RuntimeOptions) -> int:
    """Layers that llama.cpp puts on a GPU under these options (-1: all); 0: it uses none.

    Raises:
        MimoEdgeError: a GPU is asked for, and llama.cpp finds none or none of that name.
    """
    return options.gpu_layers if chosen_gpus(options) else 0


def is_chosen_here(options: RuntimeOptions) -> bool:
    """Whether these options leave it to this program which device is used, if any."""
    return options.device.strip().lower() == "auto"


def does_not_load(path: Path, reason: str, options: RuntimeOptions) -> MimoEdgeError:
    """The error about a file that `load_model` failed to load under these options."""
    if gpu_layers(options):
        # The file was checked before: its header, and a sample of it by hash.
        return GpuFailedError(f"{path} does not load", options.device, reason)
    if is_memory_fault(reason):
        return no_memory(f"{path} does not load")
    return BadBundleError(
        f"{path} does not load ({reason}); copy the bundle again or convert again."
    )


def load_model(path: Path, params: Any, options: RuntimeOptions) -> int | None:
    """A model of llama.cpp with its layers where these options want them; None: it fails.

    `params` are llama.cpp's, in which layers and devices are set here. Without a list of devices
    llama.cpp would send the products of long prompts to any GPU that it finds, even for a model
    that has no layer there.
    """
    chosen = chosen_gpus(options) if options.gpu_layers else []
    if any(gpu.software for gpu in chosen):
        # Batches with several outputs ended the process in a third of the runs within Mesa's
        # lavapipe (22.3), and never without fused operators. llama.cpp reads this when it first
        # opens a device. No real GPU was tried.
        os.environ.setdefault("GGML_VK_DISABLE_FUSION", "1")
    params.n_gpu_layers = options.gpu_layers if chosen else 0
    handles = (ctypes.c_void_p * (len(chosen) + 1))(*(gpu.handle for gpu in chosen), None)
    params.devices = ctypes.cast(handles, ctypes.c_void_p)
    model: int | None = llama_cpp.llama_model_load_from_file(os.fsencode(path), params)
    return model


def _look_at(handle: int) -> Gpu:
    text = {
        what: ggml_function(f"ggml_backend_dev_{what}", ctypes.c_char_p, ctypes.c_void_p)
        for what in ("name", "description")
    }
    kind = ggml_function("ggml_backend_dev_type", ctypes.c_int, ctypes.c_void_p)
    library = ggml_function("ggml_backend_dev_backend_reg", ctypes.c_void_p, ctypes.c_void_p)
    library_name = ggml_function("ggml_backend_reg_name", ctypes.c_char_p, ctypes.c_void_p)
    size = ctypes.POINTER(ctypes.c_size_t)
    memory = ggml_function("ggml_backend_dev_memory", None, ctypes.c_void_p, size, size)
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    memory(handle, ctypes.byref(free), ctypes.byref(total))
    description = text["description"](handle).decode(errors="replace")
    return Gpu(
        name=text["name"](handle).decode(errors="replace"),
        description=description,
        library=library_name(library(handle)).decode(errors="replace"),
        free=free.value,
        total=total.value,
        integrated=kind(handle) == _INTEGRATED,
        software=any(word in description.lower() for word in _SOFTWARE),
        handle=handle,
    )


def _named(name: str, found: Sequence[Gpu]) -> Gpu:
    for gpu in found:
        if gpu.name.lower() == name.lower():
            return gpu
    others = ", ".join(["auto", "cpu", *(["gpu"] if found else []), *(gpu.name for gpu in found)])
    raise BadInputError(f"there is no device {name!r} on this machine; there are: {others}.")


def _none_found() -> str:
    """What to say where no GPU is found: llama.cpp was built without, or the driver is missing."""
    # By its files: a library whose driver is missing does not register with llama.cpp.
    folder = Path(llama_cpp.__file__).parent / "lib"
    built = [name for name in _LIBRARIES if list(folder.glob(f"*ggml-{name.lower()}*"))]
    if not built:
        return (
            "a GPU is asked for, but this llama.cpp was built for the CPU only; reinstall "
            "llama-cpp-python with CMAKE_ARGS=-DGGML_VULKAN=ON (or -DGGML_METAL=ON)."
        )
    return (
        f"a GPU is asked for, but llama.cpp finds none through {' or '.join(built)}; install the "
        "GPU's driver, or run on the CPU."
    )
