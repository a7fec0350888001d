"""Whether the backbone's weights are laid out anew, as the processor multiplies them fastest.

llama.cpp's kernels for weights as they are in the file unpack them again for every position that is
evaluated with others; those for repacked weights do it for eight rows of a matrix at once. It is
not free: loading reads the whole file and takes seconds of computing for a large model, the result
is memory of this process alone, and the pieces of a long prompt are slower (README, Hardware).
"""

from __future__ import annotations

import logging
import platform

from ...bundle.manifest import Manifest
from ...errors import NoMemoryError
from ..llama.native_probe import check_repacked, kernels, native_complaint
from .gpu import gpu_layers
from .memory_needs import MemoryNeeds
from .placement import LARGE_BYTES
from .runtime_options import RuntimeOptions

__all__ = ["repacks"]

logger = logging.getLogger(__name__)

_MEASURED_TYPES = ("q4_k", "q4_k_m", "q4_0")
"""Types of the backbone of which most weights are repacked, and were measured to gain by it. On
x86-64 llama.cpp has such kernels for Q4_K, Q4_0 and IQ4_NL, not for Q3_K, Q5_K, Q6_K and IQ4_XS: of
`q3_k` a third is repacked, which gains 4% with four rows and nothing with one."""
_MEASURED_PROCESSORS = ("x86_64", "amd64")
_KERNELS = ("AVX2 = 1", "REPACK = 1")
"""What llama.cpp has to say of itself so that it repacks those types on those processors."""


def repacks(manifest: Manifest, options: RuntimeOptions, threads: int) -> bool:
    """Whether to repack: what `options.repack` says, and where that is None, whether it pays.

    It pays for a large model on a processor, of a kind and a type that were measured, if all of
    its weights stay in memory beside the rest.

    Raises:
        MimoEdgeError: it is asked for, and llama.cpp's kernels for it do not run here.
    """
    if options.repack:
        check_repacked()
        return True
    if options.repack is False or gpu_layers(options) or manifest.backbone_bytes <= LARGE_BYTES:
        return False
    complaint = (
        _missing_kernels(manifest)
        or _missing_memory(manifest, options, threads)
        or native_complaint(repack=True)
    )
    if complaint:
        logger.info("weights stay as they are in the file: %s", complaint)
    return not complaint


def _missing_kernels(manifest: Manifest) -> str | None:
    stored = manifest.precisions["backbone"]
    if stored not in _MEASURED_TYPES:
        return f"repacking {stored} was not measured"
    if platform.machine().lower() not in _MEASURED_PROCESSORS:
        return f"repacking was not measured on {platform.machine()}"
    if not all(kernel in kernels() for kernel in _KERNELS):
        return "this llama.cpp has no kernels for repacked weights"
    return None


def _missing_memory(manifest: Manifest, options: RuntimeOptions, threads: int) -> str | None:
    try:
        MemoryNeeds.of(manifest, options, threads, repack=True).check_calm()
    except NoMemoryError as error:
        return str(error)
    return None
