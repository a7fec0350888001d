"""The speed of a bundle on this machine, beside the limit that memory bandwidth sets.

Generating is bound by memory: each step reads all weights of its stage once. A stage's bound is
that time (bytes ÷ measured bandwidth) over the measured one, 1 being as fast as the memory is.
The values of the weights do not matter, so random ones measure as well as trained ones.
"""

from __future__ import annotations

import time
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
from .speech_cost import read_bytes_of_bundle, speech_bytes, steps_of_a_second, ways_of
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
    loading: float
    """Seconds until the bundle was loaded and could listen; less if its files were in memory."""
    dialogue: float
    """Seconds that a second of speech takes in a dialogue, with the text that goes with it."""
    dialogue_bytes: float
    """Bytes that the processor reads for that second."""

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
    on_gpu = gpu_layers(options) != 0
    began = time.perf_counter()
    engine = Engine.load(folder, options, manifest)
    loading = time.perf_counter() - began
    try:
        timings = measure_stages(engine, runs, backbone_on_gpu=on_gpu)
        alone, beside_sound = measure_speaking(engine, runs)
        read, ways = read_bytes_of_bundle(folder, manifest), ways_of(options)
        steps = steps_of_a_second("dialogue", read.patches_per_second, ways)
        step = next(t.seconds for t in timings if t.unit == "token or patch")
        text = (steps.readings - steps.patches) * step
        return Speed(
            timings=timings,
            threads=share_cores(options.threads, manifest.backbone_bytes).backbone.threads,
            bandwidth=bandwidth,
            resident=psutil.Process().memory_info().rss,
            alone=alone,
            beside_sound=beside_sound,
            busy_cores=others.look(),
            loading=loading,
            dialogue=beside_sound + text * beside_sound / alone,
            dialogue_bytes=sum(speech_bytes(read, "dialogue", ways).values()),
        )
    finally:
        engine.close()
