"""`mimo-edge picture`: spectrograms of recordings, one above the other, as a PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from ..atomic import atomic_output, check_output
from ..audio import read_at
from ..commands.console import one_line
from ..commands.inputs import check_recordings
from ..errors import BadInputError, MissingPackageError

__all__ = ["picture", "spectrogram"]

_RATE = 24_000
_WINDOW, _HOP = 1024, 240
_HEIGHT = 256
"""Pixels of one spectrogram: 0 at the bottom to 8 kHz at the top."""
_TOP_HZ = 8000
_RANGE_DB = 70.0
_LONGEST_S = 600
"""60,000 pixels of width; many programs do not open larger pictures."""
_BLOCK = 1000
"""Columns that are computed at once."""
_LABEL = 16
_COLOURS = np.array(
    [[0, 0, 4], [66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]]
)
"""Quiet to loud."""


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
    if output.suffix != ".png":
        raise BadInputError(f"{output}: pictures are written as .png; give such a name.")
    check_output(output)
    check_recordings(recordings)
    heard = [read_at(path, _RATE, longest_s=_LONGEST_S) for path in recordings]
    image = _stack([(Path(sound.name).name, spectrogram(sound.samples)) for sound in heard])
    with atomic_output(output) as file:
        image.save(file, "PNG")
    click.echo(one_line(f"{output}: {len(recordings)} spectrograms"))


def spectrogram(samples: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Samples at 24 kHz → colours uint8 [256, columns, 3], 10 ms per column."""
    padded = np.pad(samples, _WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    bins = np.linspace(0, _TOP_HZ / _RATE * _WINDOW, _HEIGHT).astype(int)[::-1]
    magnitude = np.empty((_HEIGHT, len(frames)), dtype=np.float32)
    for first in range(0, len(frames), _BLOCK):
        part = np.fft.rfft(frames[first : first + _BLOCK] * np.hanning(_WINDOW), axis=1)
        magnitude[:, first : first + _BLOCK] = np.abs(part[:, bins]).T
    level = 20 * np.log10(np.maximum(magnitude, 1e-9))
    share = np.clip((level - level.max()) / _RANGE_DB + 1, 0, 1) * (len(_COLOURS) - 1)
    stops = np.arange(len(_COLOURS))
    channels = [np.interp(share, stops, _COLOURS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def _stack(rows: list[tuple[str, NDArray[np.uint8]]]) -> Any:
    """Spectrograms under their names."""
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise MissingPackageError(
            "drawing needs Pillow; install it with `pip install 'mimo-edge[picture]'`."
        ) from error
    labels = [
        f"{name}, {pixels.shape[1] * _HOP / _RATE:.2f} s, 0 to 8 kHz" for name, pixels in rows
    ]
    texts = [ImageFont.load_default().getbbox(label)[2] for label in labels]
    width = max(*(pixels.shape[1] for _, pixels in rows), *(int(text) + 4 for text in texts))
    image = Image.new("RGB", (width, len(rows) * (_HEIGHT + _LABEL)), "white")
    draw = ImageDraw.Draw(image)
    for index, (label, (_, pixels)) in enumerate(zip(labels, rows, strict=True)):
        top = index * (_HEIGHT + _LABEL)
        draw.text((2, top + 2), label, fill="black")
        image.paste(Image.fromarray(pixels), (0, top + _LABEL))
    return image
