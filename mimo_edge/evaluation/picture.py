"""A picture of scores: a bar each, its 95% interval, and where the published figure lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..measure.picture import pillow
from .scores import Score

__all__ = ["Bar", "draw_scores"]

_WIDTH, _NAMES, _VALUES = 560, 230, 190
"""Pixels: of the longest bar, of the names on its left, of the figures on its right."""
_BAR, _GAP, _LINE, _EDGE = 16, 8, 18, 6
_COLOUR, _PALE, _PUBLISHED = (66, 10, 104), (190, 150, 190), (221, 81, 58)


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One line of the picture."""

    name: str
    score: Score
    published: float | None = None
    """Percent."""
    inner: bool = False
    """Whether it is of a subject of the benchmark above it."""


def draw_scores(caption: str, bars: Sequence[Bar]) -> Any:
    """A Pillow image of the bars, from 0 to 100%, one below the other.

    Raises:
        MissingPackageError: Pillow is not installed.
    """
    pil = pillow()
    font = pil.ImageFont.load_default()
    height = 2 * _EDGE + 3 * _LINE + len(bars) * (_BAR + _GAP)
    image = pil.Image.new("RGB", (_NAMES + _WIDTH + _VALUES, height), "white")
    draw, top = pil.ImageDraw.Draw(image), _EDGE + 2 * _LINE
    draw.text((_EDGE, _EDGE), caption, fill="black", font=font)
    for percent in range(0, 101, 25):
        left = _NAMES + _WIDTH * percent / 100
        draw.line((left, top - 4, left, height - _LINE - _EDGE), fill=(225, 225, 225))
        draw.text((left - 8, top - _LINE), f"{percent}%", fill=(120, 120, 120), font=font)
    for bar in bars:
        _draw_bar(draw, bar, top, font)
        top += _BAR + _GAP
    legend = "line: 95% interval"
    if any(bar.published is not None for bar in bars):
        legend += "    red mark: published, of the released base model"
    draw.text((_EDGE, top), legend, fill=(120, 120, 120), font=font)
    return image


def _draw_bar(draw: Any, bar: Bar, top: int, font: Any) -> None:
    def at(share: float) -> float:
        return _NAMES + _WIDTH * min(1.0, share)

    score, middle = bar.score, top + _BAR / 2
    draw.text((_EDGE + (14 if bar.inner else 0), top + 2), bar.name[:34], fill="black", font=font)
    draw.rectangle((_NAMES, top, at(score.value), top + _BAR), fill=_PALE if bar.inner else _COLOUR)
    draw.line((at(score.low), middle, at(score.high), middle), fill="black", width=2)
    for end in (score.low, score.high):
        draw.line((at(end), middle - 4, at(end), middle + 4), fill="black", width=2)
    if bar.published is not None:
        mark = at(bar.published / 100)
        draw.line((mark, top - 3, mark, top + _BAR + 3), fill=_PUBLISHED, width=3)
    figures = f"{100 * score.value:.1f}%  ({100 * score.low:.1f} to {100 * score.high:.1f})"
    draw.text((_NAMES + _WIDTH + 10, top + 2), figures, fill="black", font=font)
