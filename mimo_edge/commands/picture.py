"""`mimo-edge picture`: spectrograms of recordings, one above the other, as a PNG."""

from __future__ import annotations

from pathlib import Path

import click

from ..atomic import atomic_output, check_output
from ..audio import read_at
from ..errors import BadInputError
from ..measure.picture import RATE, spectrogram, stack
from .console import one_line
from .inputs import check_apart, check_recordings

__all__ = ["check_png", "picture"]

_LONGEST_S = 600
"""60,000 pixels of width; many programs do not open larger pictures."""


@click.command()
@click.argument("recordings", nargs=-1, required=True, type=click.Path(allow_dash=True))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The picture, a .png file.",
)
def picture(recordings: tuple[str, ...], output: Path) -> None:
    """Draw the spectrograms of RECORDINGS, up to 8 kHz, one pixel per 10 ms."""
    check_png(output)
    check_recordings(recordings)
    check_apart(recordings, [output])
    heard = [read_at(path, RATE, longest_s=_LONGEST_S) for path in recordings]
    image = stack([(Path(sound.name).name, spectrogram(sound.samples)) for sound in heard])
    with atomic_output(output) as file:
        image.save(file, "PNG")
    click.echo(one_line(f"{output}: {len(recordings)} spectrograms"))


def check_png(output: Path) -> None:
    """Refuse a name under which no picture can be written, before there is one.

    Raises:
        MimoEdgeError: it does not end with .png, or its folder cannot be written to.
    """
    if output.suffix != ".png":
        raise BadInputError(f"{output}: pictures are written as .png; give such a name.")
    check_output(output)
