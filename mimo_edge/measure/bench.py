"""`mimo-edge bench`: times of every stage beside the limit that memory bandwidth sets.

Generating is bound by memory: each step reads all weights of its stage once. `bound` is that
time (bytes ÷ measured bandwidth) over the measured one, 100% being as fast as the memory is.
The values of the weights do not matter, so random ones measure as well as trained ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click
import psutil

from ..bundle.default_bundle import find_bundle
from ..bundle.files import load_manifest
from ..commands.console import print_table
from ..commands.options import console_from, output_options, threads_option
from ..engine import Engine
from ..stages.gpu import gpu_layers
from ..stages.placement import share_cores
from ..stages.runtime_options import RuntimeOptions
from ..system.cores import fast_cores
from ..system.spare_cores import SpareCores
from .memory_speed import measure_bandwidth
from .stage_times import Timing, measure_speaking, measure_stages

__all__ = ["bench"]

_CONTEXT = 1024
_BUSY_CORES = 0.2
"""Of other programs, on the mean of the measurement; an idle desktop needs less."""


@click.command()
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@threads_option
@click.option(
    "--runs",
    default=5,
    show_default=True,
    help="How often every stage is measured; the median counts.",
)
@click.option(
    "--ctx",
    type=int,
    show_default=f"{_CONTEXT}, or what the model knows",
    help="Longest conversation, in positions.",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "gpu"]),
    default="auto",
    show_default=True,
    help="Where the language model runs.",
)
@click.option("--repack", is_flag=True, help="Measure with repacked weights.")
@output_options
def bench(
    bundle: Path | None,
    threads: int,
    runs: int,
    ctx: int | None,
    device: Literal["auto", "cpu", "gpu"],
    repack: bool,
    **values: Any,
) -> None:
    """Measure how fast BUNDLE runs on this machine, and how close to its limit."""
    console = console_from(values)
    folder = find_bundle(bundle)
    manifest = load_manifest(folder)
    manifest.check_speaks()  # half of the stages are those of speaking
    if ctx is None:
        ctx = min(_CONTEXT, manifest.backbone.max_positions)
    options = RuntimeOptions(threads=threads, context=ctx, device=device, repack=repack)
    shares = share_cores(threads, manifest.backbone_bytes)
    others = SpareCores()
    with console.busy("measuring"):
        bandwidth = measure_bandwidth(threads or fast_cores())
        engine = Engine.load(folder, options, manifest)
        try:
            timings = measure_stages(engine, runs, backbone_on_gpu=gpu_layers(options) != 0)
            alone, beside_sound = measure_speaking(engine, runs)
            resident = psutil.Process().memory_info().rss
            busy = others.look()
        finally:
            engine.close()
    for timing in timings:
        console.record(**vars(timing), bandwidth=bandwidth)
    console.record(
        stage="speaking", alone=alone, beside_sound=beside_sound, cores_of_other_programs=busy
    )
    if console.as_json:
        return
    columns = ("stage", "ms", "per", "MB read", "bound", "s per s of speech")
    print_table(columns, [_row(timing, bandwidth) for timing in timings])
    click.echo(
        f"{shares.threads} threads, {bandwidth / 1e9:.1f} GB/s measured memory "
        f"bandwidth, {resident / 1e9:.2f} GB resident (mapped weights included)"
    )
    click.echo(
        f"speaking takes {beside_sound:.2f} s per second of speech (below 1: real time), "
        f"{beside_sound / alone:.2f} times as long as without decoding the sound beside it"
    )
    if busy > _BUSY_CORES:
        console.note(
            f"other programs kept {busy:.1f} cores busy meanwhile, so these times are not the "
            "machine's best; close them and measure again to see what it can do."
        )


def _row(timing: Timing, bandwidth: float) -> tuple[str, ...]:
    bound = read = per_second = ""
    if timing.bytes_read is not None:
        read = f"{timing.bytes_read / 1e6:.1f}"
        bound = f"{timing.bytes_read / bandwidth / timing.seconds:.0%}"
    if timing.per_speech_second is not None:
        per_second = f"{timing.per_speech_second:.3f}"
    milliseconds = f"{1000 * timing.seconds:.2f}"
    return timing.stage, milliseconds, timing.unit, read, bound, per_second
