"""This machine as a model sees it: threads, memory and its speed, disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

from ..stages.machine.gpu import gpu_layers
from ..stages.machine.placement import LARGE_BYTES, share_cores
from ..stages.machine.runtime_options import RuntimeOptions
from ..system.cores import fast_cores
from ..system.spare_cores import SpareCores
from .memory_speed import measure_bandwidth
from .speech_cost import Kind, ReadBytes, Ways, seconds_of_speech

__all__ = ["BUSY_CORES", "Machine", "look_at_machine"]

BUSY_CORES = 0.2
"""Of other programs, above which times are not this machine's best; an idle desktop needs less."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What this machine has: threads, memory and disk in bytes, speeds in bytes per second."""

    threads: int
    backbone_on_gpu: bool
    memory_total: int
    memory_available: int
    """Bytes that are free or can be made so, without what other programs hold."""
    bandwidth: float | None
    """Bytes per second that all threads read from memory; None: no room to measure."""
    patch_bandwidth: float | None
    """Bytes per second that the few threads of the patch decoder read; None: no room to measure."""
    busy_cores: float
    """Processors that other programs took meanwhile: what was measured is less than it can do."""
    disk_free: int | None
    """Bytes free on the disk of the current folder; None: there is no such folder any more."""

    def speech_seconds(self, read: ReadBytes, kind: Kind, ways: Ways) -> float | None:
        """About how long a second of speech takes a model; None: it cannot be told."""
        if self.bandwidth is None:
            return None
        return seconds_of_speech(
            read,
            kind,
            ways,
            self.bandwidth,
            patch_bandwidth=self.patch_bandwidth,
            threads=self.threads,
        )


def look_at_machine(options: RuntimeOptions) -> Machine:
    """Measure the memory's speed, for about a second, and ask the system for the rest."""
    memory = psutil.virtual_memory()
    threads = options.threads or fast_cores()
    others = SpareCores()
    bandwidth: float | None = None
    patch_bandwidth: float | None = None
    try:
        bandwidth = patch_bandwidth = measure_bandwidth(threads)
        few = share_cores(options.threads, LARGE_BYTES + 1).patch_decoder.threads
        if few < threads:
            patch_bandwidth = measure_bandwidth(few)
    except MemoryError:
        pass  # then it is not known
    return Machine(
        threads=threads,
        backbone_on_gpu=gpu_layers(options) != 0,
        memory_total=memory.total,
        memory_available=memory.available,
        bandwidth=bandwidth,
        patch_bandwidth=patch_bandwidth,
        busy_cores=others.look(),
        disk_free=_disk_free(),
    )


def _disk_free() -> int | None:
    try:
        return int(psutil.disk_usage(str(Path.cwd())).free)
    except OSError:
        return None
