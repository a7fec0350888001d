"""`mimo-edge compare`: how far a quantized bundle is from its float32 reference."""

from __future__ import annotations

from pathlib import Path

import click

from ..measure.compare import Distances, measure
from .console import Console, print_table
from .inputs import check_recordings
from .options import output_options, threads_option

__all__ = ["compare"]

_COLUMNS = (
    "recipe",
    "MB",
    "equal codes per codebook, %",
    "embeddings",
    "hidden",
    "patch codes, %",
    "waveform",
)


@click.command()
@click.argument("bundles", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--reference",
    required=True,
    type=click.Path(path_type=Path),
    help="The float32 bundle to compare with.",
)
@click.option("--audio", "clips", multiple=True, required=True, help="A recording; several times.")
@threads_option
@output_options
def compare(
    bundles: tuple[Path, ...],
    reference: Path,
    clips: tuple[str, ...],
    threads: int,
    console: Console,
) -> None:
    """Measure how far BUNDLES are from the float32 bundle of the same checkpoint."""
    check_recordings(clips)
    with console.busy("measuring"):
        results = measure(reference, bundles, clips, threads=threads)
    for result in results:
        console.record(**vars(result))
    if not console.as_json:
        print_table(_COLUMNS, map(_row, results))


def _row(result: Distances) -> tuple[str, ...]:
    return (
        result.recipe,
        f"{result.megabytes:.1f}",
        " ".join(f"{100 * share:.0f}" for share in result.codes),
        f"{result.embeddings:.2%}",
        f"{result.hidden:.2%}",
        f"{100 * result.patch_codes:.1f}",
        f"{result.waveform:.2%}",
    )
