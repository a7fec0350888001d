"""A picture of what a second of speech reads and how long it takes, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .bench import Speed
from .picture import pillow
from .speech_cost import KINDS, Kind

__all__ = ["Bars", "bars_of", "draw_bars"]

_COLOURS = {
    "backbone": (66, 10, 104),
    "text head": (147, 38, 103),
    "cache": (190, 150, 190),
    "patch decoder": (221, 81, 58),
    "patch encoder": (252, 165, 10),
}
_WIDTH, _LABEL, _BAR, _GAP, _LINE = 640, 90, 26, 10, 18
"""Pixels: of the longest bar, of the names beside it, of a bar's height and what is between them,
of a line of text."""


@dataclass(frozen=True, kw_only=True)
class Bars:
    """One group of bars of the picture."""

    title: str
    unit: str
    parts: dict[Kind, dict[str, float]]
    """Kind of speech → stage → how much."""
    limit: float | None = None
    """Where a line is drawn through the bars."""


def bars_of(speed: Speed) -> list[Bars]:
    """Gigabytes and seconds of a second of speech, of each kind.

    Of the seconds, all that patches do not take is the backbone's, its head and cache included.
    """
    per_second = {
        timing.stage.removeprefix("speak: "): timing.per_speech_second or 0.0
        for timing in speed.timings
    }
    patches = {name: per_second[name] for name in ("patch decoder", "patch encoder")}
    seconds: dict[Kind, dict[str, float]] = {
        kind: {"backbone": max(0.0, total - sum(patches.values())), **patches}
        for kind, total in speed.seconds.items()
    }
    read: dict[Kind, dict[str, float]] = {
        kind: {stage: size / 1e9 for stage, size in speed.bytes_read[kind].items()}
        for kind in KINDS
    }
    return [
        Bars(title="read for a second of speech", unit="GB", parts=read),
        Bars(title="taken by a second of speech", unit="s", parts=seconds, limit=1.0),
    ]


def draw_bars(groups: list[Bars], caption: str) -> Any:
    """One Pillow image of all groups, one above the other, with the colours' meaning below.

    Raises:
        MissingPackageError: Pillow is not installed.
    """
    pil = pillow()
    font = pil.ImageFont.load_default()
    height = 2 * _LINE + sum(2 * _LINE + len(group.parts) * (_BAR + _GAP) for group in groups)
    image = pil.Image.new("RGB", (_LABEL + _WIDTH + _LABEL, height + 2 * _LINE), "white")
    draw, top = pil.ImageDraw.Draw(image), _GAP
    draw.text((4, top), caption, fill="black", font=font)
    top += 2 * _LINE
    for group in groups:
        draw.text((4, top), f"{group.unit} {group.title}", fill="black", font=font)
        top += _LINE
        top = _draw_group(draw, group, top, font)
        top += _LINE
    left = 4
    for stage, colour in _COLOURS.items():
        draw.rectangle((left, top, left + 10, top + 10), fill=colour)
        draw.text((left + 15, top), stage, fill="black", font=font)
        left += 40 + int(font.getlength(stage))
    return image


def _draw_group(draw: Any, group: Bars, top: int, font: Any) -> int:
    """Draw the bars of a group; where the next one begins, in pixels from the top."""
    longest = max([sum(parts.values()) for parts in group.parts.values()] + [group.limit or 0.0])
    scale = _WIDTH / longest if longest else 0.0
    first = top
    for kind, parts in group.parts.items():
        draw.text((4, top + 6), kind, fill="black", font=font)
        left = float(_LABEL)
        for stage, amount in parts.items():
            right = left + amount * scale
            draw.rectangle((left, top, right, top + _BAR), fill=_COLOURS[stage])
            left = right
        total = f"{_total(parts):.2f} {group.unit}"
        draw.text((left + 5, top + 6), total, fill="black", font=font)
        top += _BAR + _GAP
    if group.limit is not None:
        at = _LABEL + group.limit * scale
        draw.line((at, first - 4, at, top - _GAP + 4), fill="black", width=1)
    return top


def _total(parts: Mapping[str, float]) -> float:
    return sum(parts.values())
