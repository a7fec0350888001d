"""The speed of a bundle on this machine, beside the limit that memory bandwidth sets.

Generating is bound by memory: each step reads all weights of its stage once. A stage's bound is
that time (bytes ÷ measured bandwidth) over the measured one, 1 being as fast as the memory is.
The values of the weights do not matter, so random ones measure as well as trained ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

from ..bundle.manifest import Manifest
from ..engine import Engine
from ..stages.gpu import gpu_layers
from ..stages.placement import share_cores
from ..stages.runtime_options import RuntimeOptions
from ..system.cores import fast_cores
from ..system.spare_cores import SpareCores
from .memory_speed import measure_bandwidth
from .stage_times import Timing, measure_speaking, measure_stages

__all__ = ["Speed", "measure_speed"]


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How fast a bundle runs on a machine."""

    timings: list[Timing]
    threads: int
    """Threads of the language model."""
    bandwidth: float
    """Bytes per second that the threads read from memory."""
    resident: int
    """Bytes of the process in memory, mapped weights among them."""
    alone: float
    """Seconds that a second of speech takes to generate, without decoding its sound."""
    beside_sound: float
    """Seconds that a second of speech takes to generate while its sound is decoded."""
    busy_cores: float
    """Processors that other programs took meanwhile; see `machine.BUSY_CORES`."""

    def bound(self, timing: Timing) -> float | None:
        """The part of a stage's time that reading its weights takes; None if that sets no limit."""
        if timing.bytes_read is None:
            return None
        return timing.bytes_read / self.bandwidth / timing.seconds


def measure_speed(folder: Path, manifest: Manifest, options: RuntimeOptions, runs: int) -> Speed:
    """Load the bundle and measure every stage `runs` times; the medians count.

    Raises:
        MimoEdgeError: the bundle does not load, or lacks its speaking half.
    """
    manifest.check_speaks()  # half of the stages are those of speaking
    others = SpareCores()
    bandwidth = measure_bandwidth(options.threads or fast_cores())
    engine = Engine.load(folder, options, manifest)
    try:
        timings = measure_stages(engine, runs, backbone_on_gpu=gpu_layers(options) != 0)
        alone, beside_sound = measure_speaking(engine, runs)
        return Speed(
            timings=timings,
            threads=share_cores(options.threads, manifest.backbone_bytes).backbone.threads,
            bandwidth=bandwidth,
            resident=psutil.Process().memory_info().rss,
            alone=alone,
            beside_sound=beside_sound,
            busy_cores=others.look(),
        )
    finally:
        engine.close()
