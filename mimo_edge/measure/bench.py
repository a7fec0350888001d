"""The speed of a bundle on this machine, beside the limit that memory bandwidth sets.

Generating is bound by memory: each step reads all weights of its stage once. A stage's bound is
that time (bytes ÷ measured bandwidth) over the measured one, 1 being as fast as the memory is.
The values of the weights do not matter, so random ones measure as well as trained ones; what would
depend on them, the text of the speech, is given.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from ..bundle.manifest import Manifest
from ..engine import Engine
from ..loading import follows_format
from ..stages.machine.runtime_options import RuntimeOptions
from ..system.cores import fast_cores
from ..system.peak_memory import anonymous_memory, peak_memory
from ..system.spare_cores import SpareCores
from .memory_speed import measure_bandwidth
from .speaking_times import SpeakingTimes, measure_speaking
from .speech_cost import (
    KINDS,
    POSITIONS,
    Kind,
    Stage,
    read_bytes_of_bundle,
    speech_bytes,
    ways_of,
)
from .stage_times import Timing, measure_stages

__all__ = ["Speed", "measure_speed"]


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How fast a bundle runs on a machine."""

    timings: list[Timing]
    speaking: SpeakingTimes
    positions: int
    """In the cache, behind which is spoken."""
    bytes_read: dict[Kind, dict[Stage, float]]
    """What a second of speech reads in each stage, behind `speech_cost.POSITIONS`."""
    threads: int
    """Threads of the language model."""
    bandwidth: float
    """Bytes per second that the threads read from memory."""
    resident: int
    """Bytes of the process in memory, mapped weights among them."""
    peak: int
    """Bytes of the process in memory at most until now."""
    anonymous: int | None
    """Of `resident`, what is no page of a file, so that the system cannot take it for others; None
    where the system does not tell."""
    busy_cores: float
    """Processors that other programs took meanwhile; see `machine.BUSY_CORES`."""
    options: RuntimeOptions
    """Those that were asked for, with the device that is used."""
    runs_on: dict[str, str]
    """Part → what computed it, by the names of `stages.machine.measured`."""
    loading: float
    """Seconds until the bundle was loaded and could listen; less if its files were in memory."""

    def bound(self, timing: Timing) -> float | None:
        """The part of a stage's time that reading its weights takes; None if that sets no limit."""
        if timing.bytes_read is None:
            return None
        return timing.bytes_read / self.bandwidth / timing.seconds

    @property
    def seconds(self) -> dict[Kind, float]:
        """What a second of speech takes."""
        return {"dialogue": self.speaking.dialogue, "speak": self.speaking.speak}


def measure_speed(folder: Path, manifest: Manifest, options: RuntimeOptions, runs: int) -> Speed:
    """Load the bundle and measure every stage `runs` times; the medians count.

    Raises:
        MimoEdgeError: the bundle does not load, or lacks its speaking half.
    """
    manifest.check_speaks()  # half of the stages are those of speaking
    others = SpareCores()
    positions = min(POSITIONS, options.context_for(manifest.backbone) // 2)
    began = time.perf_counter()
    engine = Engine.load(folder, options, manifest)
    loading = time.perf_counter() - began
    plan = engine.plan
    read = read_bytes_of_bundle(folder, manifest, plan.place.patch_decoder.form)
    skips_head = follows_format(manifest, plan.options)
    ways = ways_of(plan.options, skips_head=skips_head, manifest=manifest)
    ways = replace(ways, patches_on_gpu=plan.patches_on_gpu)
    try:
        timings = measure_stages(engine, runs, read=read, ways=ways, positions=positions)
        speaking = measure_speaking(engine, runs, positions)
        runs_on = _runs_on(engine)
        resident, peak = psutil.Process().memory_info().rss, peak_memory()
        anonymous = anonymous_memory()
    finally:
        engine.close()
    return Speed(
        timings=timings,
        speaking=speaking,
        positions=positions,
        bytes_read={kind: speech_bytes(read, kind, ways) for kind in KINDS},
        threads=plan.place.backbone.threads,
        # Last, since what it reads would count as memory that the model took.
        bandwidth=measure_bandwidth(options.threads or fast_cores()),
        resident=resident,
        peak=peak,
        anonymous=anonymous,
        busy_cores=others.look(),
        options=plan.options,
        runs_on=runs_on,
        loading=loading,
    )


def _runs_on(engine: Engine) -> dict[str, str]:
    plan = engine.plan
    device = plan.options.device if plan.on_gpu else "cpu"
    form = plan.place.patch_decoder.form
    patches = "cpu" if form == "onnx" else f"gguf {device}"
    encoder, decoder, *_ = engine.audio_tokenizer.providers()
    return {
        "backbone": device,
        "patch_decoder": patches,
        "patch_encoder": patches,
        "audio_encoder": encoder,
        "audio_decoder": decoder,
    }
