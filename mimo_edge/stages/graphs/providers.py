"""What onnxruntime can compute a graph with: the processor, and providers for GPUs and the like."""

from __future__ import annotations

import functools
import importlib
import logging
import threading
from dataclasses import dataclass
from typing import Any

import onnxruntime

from ...errors import BadInputError
from ..machine.measured import Measured, best_way
from ..machine.placement import Providers

__all__ = [
    "CPU",
    "PROVIDERS",
    "Provider",
    "available_providers",
    "choose_providers",
    "provider_named",
    "use_provider",
]

logger = logging.getLogger(__name__)

CPU = "cpu"


@dataclass(frozen=True, kw_only=True)
class Provider:
    """One of onnxruntime's execution providers."""

    name: str
    """What `RuntimeOptions.provider` takes."""
    title: str
    """What onnxruntime calls it."""
    package: str
    """The published package that brings it."""
    machines: str
    """Where it runs, in words."""
    module: str | None = None
    """A package beside onnxruntime that has it in a library of its own; None: it is a part of a
    build of onnxruntime, which stands in the place of the ordinary one."""


PROVIDERS = (
    Provider(
        name=CPU, title="CPUExecutionProvider", package="onnxruntime", machines="every processor"
    ),
    Provider(
        name="coreml",
        title="CoreMLExecutionProvider",
        package="onnxruntime",
        machines="Macs: GPU and neural engine",
    ),
    Provider(
        name="webgpu",
        title="WebGpuExecutionProvider",
        package="onnxruntime-ep-webgpu",
        machines="GPUs through Vulkan, Direct3D 12 or Metal",
        module="onnxruntime_ep_webgpu",
    ),
    Provider(
        name="directml",
        title="DmlExecutionProvider",
        package="onnxruntime-directml",
        machines="GPUs on Windows",
    ),
    Provider(
        name="cuda",
        title="CUDAExecutionProvider",
        package="onnxruntime-gpu",
        machines="NVIDIA's GPUs",
    ),
    Provider(
        name="openvino",
        title="OpenVINOExecutionProvider",
        package="onnxruntime-ep-openvino",
        machines="Intel's processors, GPUs and neural units",
        module="onnxruntime_ep_openvino",
    ),
)
"""Those that a published wheel has, and that compute on a laptop."""


def provider_named(name: str) -> Provider:
    """The provider with this name, whether it is there or not.

    Raises:
        MimoEdgeError: there is none of that name.
    """
    for provider in PROVIDERS:
        if provider.name == name.strip().lower():
            return provider
    here = ", ".join(["auto", *(provider.name for provider in available_providers())])
    others = ", ".join(p.name for p in PROVIDERS if p not in available_providers())
    raise BadInputError(
        f"there is no provider {name!r}; here there are {here}, and with other packages {others}."
    )


def available_providers() -> list[Provider]:
    """Those that this onnxruntime has, or whose package is installed beside it."""
    built_in = onnxruntime.get_available_providers()
    return [
        provider
        for provider in PROVIDERS
        if provider.title in built_in or (provider.module and _devices(provider.module))
    ]


def choose_providers(wanted: str, measured: Measured | None) -> Providers:
    """What to compute the audio tokenizer with; "auto": what was quickest, else the processor.

    Raises:
        MimoEdgeError: there is no provider of that name.
    """
    if wanted.strip().lower() != "auto":
        provider = provider_named(wanted)
        if provider in available_providers():
            return Providers(audio_encoder=provider.name, audio_decoder=provider.name)
        logger.warning(
            "the provider %s is not here (it is for %s, and comes with %s); the audio tokenizer "
            "runs on the processor.",
            provider.name,
            provider.machines,
            provider.package,
        )
        return Providers()
    if measured is None:
        return Providers()
    ways = [provider.name for provider in available_providers()]
    return Providers(
        audio_encoder=best_way(measured, "audio_encoder", ways, CPU),
        audio_decoder=best_way(measured, "audio_decoder", ways, CPU),
    )


def use_provider(options: Any, provider: Provider) -> list[str] | None:
    """Make a session's options ready for a provider; the list that the session gets, or None.

    What a provider cannot compute, the processor does.

    Raises:
        LookupError: it is not there, as a part of a sentence.
    """
    if provider.title in onnxruntime.get_available_providers():
        titles = [provider.title, "CPUExecutionProvider"]
        return titles[:1] if provider.name == CPU else titles
    devices = _devices(provider.module) if provider.module else []
    if not devices:
        raise LookupError(f"it is not installed (pip install {provider.package})")
    options.add_provider_for_devices(devices[:1], {})
    return None


_registering = threading.Lock()


def _devices(module: str) -> list[Any]:
    """Devices that the library in a package computes on; none if it is not installed or fails."""
    with _registering:
        name = _register(module)
    return [device for device in onnxruntime.get_ep_devices() if device.ep_name == name]


@functools.cache
def _register(module: str) -> str | None:
    """Load such a package's library into onnxruntime, once; what its provider is called."""
    try:
        package = importlib.import_module(module)
    except ImportError:
        return None
    try:
        onnxruntime.register_execution_provider_library(module, package.get_library_path())
        return str(package.get_ep_name())
    except Exception as error:  # onnxruntime's exception classes share no base of their own
        logger.warning("%s cannot be used (%s); install a version that fits.", module, error)
        return None
