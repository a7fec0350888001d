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

from .cores import fast_cores, usable_cores

__all__ = ["CoreShares", "run_when_idle", "share_cores"]

_LARGE_BYTES = 1 << 28
"""Weights far beyond what a processor caches: reading them keeps two cores busy."""
_LOWEST_PRIORITY = 19
_MOST_IN_PATCH_DECODER = 4
"""Threads. A step is 64 products of a millisecond's tenth, after each of which all wait for the
last. Four read about as fast as a laptop's memory gives; 15, on a server, were hardly faster than
one with the released dimensions and half as fast as four with the demo model's."""


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
    makes_way: bool
    """Whether the backbone leaves cores to other programs that keep them busy."""


def share_cores(threads: int, backbone_bytes: int) -> CoreShares:
    """Share the processor; `backbone_bytes` is the size of the backbone's weights.

    `threads` 0: as many as are good for a model of this size. A number that somebody chose is kept,
    whatever other programs do, so that a seed gives the same answer to the last bit.
    """
    makes_way = not threads
    if makes_way:
        threads = fast_cores() if backbone_bytes > _LARGE_BYTES else 1
    fewer = threads if threads < usable_cores() else max(1, threads - 1)
    # Elsewhere a single thread's priority cannot be lowered from Python.
    yields = sys.platform == "linux" and threads == 2 > fewer and backbone_bytes > _LARGE_BYTES
    return CoreShares(
        threads=threads,
        beside_sound=threads if yields else fewer,
        patch_decoder=min(fewer, _MOST_IN_PATCH_DECODER),
        sound_yields=yields,
        makes_way=makes_way,
    )


def run_when_idle() -> None:
    """Let the calling thread, and those that it starts, only have what no other thread wants."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)
