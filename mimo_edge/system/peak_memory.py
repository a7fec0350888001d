"""How much memory this process took at most."""

from __future__ import annotations

import importlib
import sys

import psutil

__all__ = ["peak_memory"]


def peak_memory() -> int:
    """Bytes of this process that were in memory at once since it began, mapped files among them."""
    try:
        resource = importlib.import_module("resource")
    except ImportError:  # Windows, where psutil knows
        return int(psutil.Process().memory_info().peak_wset)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else 1024 * peak)  # macOS tells bytes
