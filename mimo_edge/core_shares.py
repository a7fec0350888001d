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
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["CoreShares", "fast_cores", "run_when_idle", "share_cores", "usable_cores"]

_LARGE_BYTES = 1 << 28
"""Weights far beyond what a processor caches: reading them keeps two cores busy."""
_LOWEST_PRIORITY = 19
_MOST_IN_PATCH_DECODER = 4
"""Threads. A step is 64 products of a millisecond's tenth, after each of which all wait for the
last. Four read about as fast as a laptop's memory gives; 15, on a server, were hardly faster than
one with the released dimensions and half as fast as four with the demo model's."""
_SYSTEM = Path("/sys/devices")


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
    fewer = threads if threads < usable_cores() else max(1, threads - 1)
    # Elsewhere a single thread's priority cannot be lowered from Python.
    yields = sys.platform == "linux" and threads == 2 > fewer and backbone_bytes > _LARGE_BYTES
    return CoreShares(
        threads=threads,
        beside_sound=threads if yields else fewer,
        patch_decoder=min(fewer, _MOST_IN_PATCH_DECODER),
        sound_yields=yields,
    )


def run_when_idle() -> None:
    """Let the calling thread, and those that it starts, only have what no other thread wants."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)


def usable_cores() -> int:
    """Physical cores that this process may use.

    The second thread of a core reads no faster, and waits for the first where all wait.
    """
    if sys.platform == "linux":
        return _physical(os.sched_getaffinity(0))
    return psutil.cpu_count(logical=False) or os.cpu_count() or 1


def fast_cores() -> int:
    """The same without a hybrid processor's slow ones, for which the fast ones would wait.

    Which those are Linux tells of Intel's processors and macOS of Apple's; of others all count.
    """
    if sys.platform == "linux":
        allowed = os.sched_getaffinity(0)
        return _physical(_cpu_list(_SYSTEM / "cpu_core" / "cpus") & allowed or allowed)
    fast = _apple_performance_cores() if sys.platform == "darwin" else 0
    return fast or usable_cores()


def _physical(cpus: set[int]) -> int:
    """Different cores among logical processors; where Linux does not tell, each is one."""
    topology = _SYSTEM / "system" / "cpu"
    siblings = (_cpu_list(topology / f"cpu{n}" / "topology" / "core_cpus_list") for n in cpus)
    return len({frozenset(found or {n}) for n, found in zip(cpus, siblings, strict=True)})


def _cpu_list(path: Path) -> set[int]:
    """Numbers in a list of the kernel's, as `0-3,8`; none if there is no such file."""
    try:
        text = path.read_text(encoding="ascii").strip()
        ranges = [part.split("-") for part in text.split(",") if part]
        return {n for ends in ranges for n in range(int(ends[0]), int(ends[-1]) + 1)}
    except (OSError, ValueError):
        return set()


def _apple_performance_cores() -> int:
    """0 on a Mac with an Intel processor, which has no such levels."""
    command = ["/usr/sbin/sysctl", "-n", "hw.perflevel0.physicalcpu"]
    try:
        return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return 0
