"""`mimo-edge lookahead`: what it costs to let speech be heard early."""

from __future__ import annotations

from pathlib import Path

import click

from ..bundle.default_bundle import find_bundle
from ..engine import Engine
from ..measure.lookahead import LookaheadCost, measure_lookahead
from ..stages.machine.runtime_options import RuntimeOptions
from .console import Console, print_table
from .inputs import check_recordings
from .options import output_options, threads_option

__all__ = ["lookahead"]

_DEFAULT = (16, 32, 48, 80, 160)
_COLUMNS = (
    "lookahead",
    "sound later by, ms",
    "from offline, dB",
    "from full lookahead, dB",
    "jump at seams",
    "largest",
    "s per s of speech",
)


@click.command()
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@click.option("--audio", "clips", multiple=True, required=True, help="A recording; several times.")
@click.option(
    "--frames",
    multiple=True,
    type=int,
    default=_DEFAULT,
    show_default=True,
    help="Lookahead in mel frames of 10 ms; several times.",
)
@click.option("--push", default=5, show_default=True, help="Patches that are decoded at once.")
@click.option(
    "--runs",
    default=3,
    show_default=True,
    help="How often each lookahead is measured; the fastest counts.",
)
@threads_option
@output_options
def lookahead(
    bundle: Path | None,
    clips: tuple[str, ...],
    frames: tuple[int, ...],
    push: int,
    runs: int,
    threads: int,
    console: Console,
) -> None:
    """Measure how well BUNDLE speaks when its sound is decoded early."""
    check_recordings(clips)
    with console.busy("measuring"):
        engine = Engine.load(find_bundle(bundle), RuntimeOptions(threads=threads, context=64))
        try:
            results = measure_lookahead(engine, clips, frames, push=push, runs=runs)
        finally:
            engine.close()
    for result in results:
        console.record(**vars(result))
    if not console.as_json:
        print_table(_COLUMNS, map(_row, results))


def _row(cost: LookaheadCost) -> tuple[str, ...]:
    return (
        str(cost.lookahead),
        f"{1000 * cost.delay_seconds:.0f}",
        f"{cost.offline_distance:.3f}",
        f"{cost.full_distance:.3f}",
        f"{cost.seam_jump:.2f}",
        f"{cost.largest_jump:.1f}",
        f"{cost.cost:.3f}",
    )
