"""`mimo-edge bench`: times of every stage beside the limit that memory bandwidth sets."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from ..bundle.default_bundle import find_bundle
from ..bundle.files import load_manifest
from ..measure.bench import Speed, measure_speed
from ..measure.machine import BUSY_CORES
from ..measure.stage_times import Timing
from ..stages.runtime_options import RuntimeOptions
from .console import Console, print_table
from .options import output_options, threads_option

__all__ = ["bench"]

_CONTEXT = 1024
_COLUMNS = ("stage", "ms", "per", "MB read", "bound", "s per s of speech")


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
    console: Console,
) -> None:
    """Measure how fast BUNDLE runs on this machine, and how close to its limit."""
    folder = find_bundle(bundle)
    manifest = load_manifest(folder)
    if ctx is None:
        ctx = min(_CONTEXT, manifest.backbone.max_positions)
    options = RuntimeOptions(threads=threads, context=ctx, device=device, repack=repack)
    with console.busy("measuring"):
        speed = measure_speed(folder, manifest, options, runs)
    for timing in speed.timings:
        console.record(**vars(timing), bandwidth=speed.bandwidth)
    console.record(
        stage="speaking",
        alone=speed.alone,
        beside_sound=speed.beside_sound,
        cores_of_other_programs=speed.busy_cores,
    )
    if not console.as_json:
        _print(console, speed)


def _print(console: Console, speed: Speed) -> None:
    print_table(_COLUMNS, [_row(timing, speed.bound(timing)) for timing in speed.timings])
    click.echo(
        f"{speed.threads} threads, {speed.bandwidth / 1e9:.1f} GB/s measured memory "
        f"bandwidth, {speed.resident / 1e9:.2f} GB resident (mapped weights included)"
    )
    click.echo(
        f"speaking takes {speed.beside_sound:.2f} s per second of speech (below 1: real time), "
        f"{speed.beside_sound / speed.alone:.2f} times as long as without decoding the sound "
        "beside it"
    )
    if speed.busy_cores > BUSY_CORES:
        console.note(
            f"other programs kept {speed.busy_cores:.1f} cores busy meanwhile, so these times are "
            "not the machine's best; close them and measure again to see what it can do."
        )


def _row(timing: Timing, bound: float | None) -> tuple[str, ...]:
    read, of_bound, per_second = "", "", ""
    if timing.bytes_read is not None:
        read = f"{timing.bytes_read / 1e6:.1f}"
    if bound is not None:
        of_bound = f"{bound:.0%}"
    if timing.per_speech_second is not None:
        per_second = f"{timing.per_speech_second:.3f}"
    milliseconds = f"{1000 * timing.seconds:.2f}"
    return timing.stage, milliseconds, timing.unit, read, of_bound, per_second
