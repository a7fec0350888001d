"""How much memory this process takes, and took at most."""

from __future__ import annotations

import importlib
import sys

import psutil

__all__ = ["anonymous_memory", "peak_memory"]


def peak_memory() -> int:
    """Bytes of this process that were in memory at once since it began, mapped files among them."""
    try:
        resource = importlib.import_module("resource")
    except ImportError:  # Windows, where psutil knows
        return int(psutil.Process().memory_info().peak_wset)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else 1024 * peak)  # macOS tells bytes


def anonymous_memory() -> int | None:
    """Bytes in memory now that are no pages of files; None where the system is not Linux.

    The system can take pages of files for others and read them again. These it can only write to
    swap, if there is any.
    """
    if sys.platform != "linux":
        return None
    found = psutil.Process().memory_info()
    return int(found.rss - found.shared)
