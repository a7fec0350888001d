"""`mimo-edge compare`: how far a quantized bundle is from its float32 reference."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ..measure.answers_apart import Apart
from ..measure.compare import Distances, measure
from .console import Console, print_table
from .inputs import check_recordings, recordings_in
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
_ANSWER_COLUMNS = ("text KL", "code KL", "transcripts, %", "misheard, %")


@click.command()
@click.argument("bundles", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--reference",
    required=True,
    type=click.Path(path_type=Path),
    help="The float32 bundle to compare with.",
)
@click.option(
    "--audio",
    "clips",
    multiple=True,
    required=True,
    help="A recording, or a folder of recordings; several times.",
)
@click.option("--limit", type=click.IntRange(min=1), help="At most so many recordings.")
@click.option(
    "--stages-only", is_flag=True, help="Compare no whole answers, which takes most of the time."
)
@threads_option
@output_options
def compare(
    bundles: tuple[Path, ...],
    reference: Path,
    clips: tuple[str, ...],
    limit: int | None,
    stages_only: bool,
    threads: int,
    console: Console,
) -> None:
    """Measure how far BUNDLES are from the float32 bundle of the same checkpoint.

    Stage by stage, and in whole answers: how much less likely the reference's words and codes
    become (KL divergence, in nats), how many words of transcripts change, and how many words of
    what a bundle speaks the reference mishears. Give the reference as a bundle, too, for what it
    mishears of itself.
    """
    recordings = recordings_in(clips)[:limit]
    check_recordings(recordings)
    with console.busy("measuring") as tell:
        results = measure(
            *(reference, bundles, recordings),
            threads=threads,
            answers=not stages_only,
            tell=tell,
        )
    for result in results:
        console.record(**asdict(result))
    if not console.as_json:
        columns = _COLUMNS if stages_only else (*_COLUMNS, *_ANSWER_COLUMNS)
        print_table(columns, map(_row, results))


def _row(result: Distances) -> tuple[str, ...]:
    return (
        result.recipe,
        f"{result.megabytes:.1f}",
        " ".join(f"{100 * share:.0f}" for share in result.codes),
        f"{result.embeddings:.2%}",
        f"{result.hidden:.2%}",
        f"{100 * result.patch_codes:.1f}",
        f"{result.waveform:.2%}",
        *_answer_row(result.answers),
    )


def _answer_row(apart: Apart | None) -> tuple[str, ...]:
    if apart is None:
        return ()
    return (
        f"{apart.text_divergence:.4f}",
        f"{apart.code_divergence:.4f}",
        f"{100 * apart.transcripts:.1f}",
        f"{100 * apart.speech:.1f}",
    )
