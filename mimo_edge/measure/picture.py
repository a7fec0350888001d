"""Pictures: spectrograms of recordings, one above the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingPackageError

__all__ = ["RATE", "pillow", "spectrogram", "stack"]

RATE = 24_000
"""Hz of the samples that are drawn."""
_WINDOW, _HOP = 1024, 240
_HEIGHT = 256
"""Pixels of one spectrogram: 0 at the bottom to 8 kHz at the top."""
_TOP_HZ = 8000
_RANGE_DB = 70.0
_BLOCK = 1000
"""Columns that are computed at once."""
_LABEL = 16
_COLOURS = np.array(
    [[0, 0, 4], [66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]]
)
"""Quiet to loud."""


def spectrogram(samples: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Samples at 24 kHz → colours uint8 [256, columns, 3], 10 ms per column."""
    padded = np.pad(samples, _WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    bins = np.linspace(0, _TOP_HZ / RATE * _WINDOW, _HEIGHT).astype(int)[::-1]
    magnitude = np.empty((_HEIGHT, len(frames)), dtype=np.float32)
    for first in range(0, len(frames), _BLOCK):
        part = np.fft.rfft(frames[first : first + _BLOCK] * np.hanning(_WINDOW), axis=1)
        magnitude[:, first : first + _BLOCK] = np.abs(part[:, bins]).T
    # Relative to the loudest point of each recording: quiet ones are not darker.
    level = 20 * np.log10(np.maximum(magnitude, 1e-9))
    share = np.clip((level - level.max()) / _RANGE_DB + 1, 0, 1) * (len(_COLOURS) - 1)
    stops = np.arange(len(_COLOURS))
    channels = [np.interp(share, stops, _COLOURS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def stack(rows: Sequence[tuple[str, NDArray[np.uint8]]]) -> Any:
    """One Pillow image of several (name, spectrogram), each under its name.

    Raises:
        MissingPackageError: Pillow is not installed.
    """
    pil = pillow()
    font = pil.ImageFont.load_default()
    labels = [f"{name}, {pixels.shape[1] * _HOP / RATE:.2f} s, 0 to 8 kHz" for name, pixels in rows]
    texts = [font.getbbox(label)[2] for label in labels]
    width = max(*(pixels.shape[1] for _, pixels in rows), *(int(text) + 4 for text in texts))
    image = pil.Image.new("RGB", (width, len(rows) * (_HEIGHT + _LABEL)), "white")
    draw = pil.ImageDraw.Draw(image)
    for index, (label, (_, pixels)) in enumerate(zip(labels, rows, strict=True)):
        top = index * (_HEIGHT + _LABEL)
        draw.text((2, top + 2), label, fill="black")
        image.paste(pil.Image.fromarray(pixels), (0, top + _LABEL))
    return image


def pillow() -> Any:
    """The package PIL, with its modules Image, ImageDraw and ImageFont.

    Raises:
        MissingPackageError: Pillow is not installed.
    """
    try:
        import PIL.Image
        import PIL.ImageDraw
        import PIL.ImageFont
    except ImportError as error:
        raise MissingPackageError(
            "drawing needs Pillow; install it with `pip install 'mimo-edge[picture]'`."
        ) from error
    return PIL
