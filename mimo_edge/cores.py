"""How the language model and the sound that is decoded beside it share the processor.

llama.cpp's threads wait for each other in every layer: one of them without a core of its own
holds up all. Two ways out of that:

    leave     the backbone runs on one core fewer while there is sound to decode
    step back the backbone keeps all cores; the sound runs at the lowest priority, which is
              when a core is idle: while the patch decoder works, on one core

Of many cores one is hardly missed, and of a small model's step the second core saves nothing. A
large model on two cores loses 40% of its speed with one of them, and then the sound, which is due
at less than half of its pace, can well wait.
"""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import dataclass

__all__ = ["CoreShares", "run_when_idle", "share_cores", "usable_cores"]

_LARGE_BYTES = 1 << 28
"""Weights far beyond what a processor caches: reading them keeps two cores busy."""
_LOWEST_PRIORITY = 19


@dataclass(frozen=True, kw_only=True)
class CoreShares:
    """Threads of the parts."""

    threads: int
    """Of whatever has the processor for itself."""
    beside_sound: int
    """Of the backbone while there is sound to decode."""
    patch_decoder: int
    sound_yields: bool
    """Whether the sound steps back; only if `beside_sound` is all `threads`."""


def share_cores(threads: int, backbone_bytes: int) -> CoreShares:
    """Share `threads` threads; `backbone_bytes` is the size of the backbone's weights."""
    fewer = max(1, min(threads, usable_cores() - 1))
    # Elsewhere a single thread's priority cannot be lowered from Python.
    yields = sys.platform == "linux" and threads == 2 > fewer and backbone_bytes > _LARGE_BYTES
    return CoreShares(
        threads=threads,
        beside_sound=threads if yields else fewer,
        patch_decoder=fewer,
        sound_yields=yields,
    )


def run_when_idle() -> None:
    """Let the calling thread, and those that it starts, only have what no other thread wants."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)


def usable_cores() -> int:
    """That this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
