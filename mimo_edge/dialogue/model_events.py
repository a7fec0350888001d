"""What the model's thread tells the conversation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..generation.events import StopReason, TurnStats

__all__ = [
    "Ended",
    "Failed",
    "ModelEvent",
    "Ready",
    "Sound",
    "Text",
    "Told",
    "Transcribed",
    "Truncated",
]


@dataclass(frozen=True, kw_only=True)
class Ready:
    """What comes before the first question was evaluated: system prompt, voice and history."""


@dataclass(frozen=True, kw_only=True)
class Text:
    """The next piece of an answer's text."""

    turn: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Sound:
    """The next chunk of an answer's sound."""

    turn: int
    samples: NDArray[np.float32]
    """[n] at the model's rate."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The answer is complete or was cancelled."""

    turn: int
    reason: StopReason
    stats: TurnStats
    prepared_positions: int = 0
    """Prompt positions that were evaluated before the question was complete."""


@dataclass(frozen=True, kw_only=True)
class Truncated:
    """An interrupted answer was cut to what was heard."""

    turn: int
    text: str
    """What the user heard of it, an estimate; none, if that was less than a word."""
    ended: Ended | None
    """How its generation ended; None if it had not begun."""


@dataclass(frozen=True, kw_only=True)
class Transcribed:
    """The question in words, after it was answered."""

    turn: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The question could not be answered; the conversation goes on without it."""

    turn: int
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Told:
    """One sentence for the user about what answers: it is away, or back, or complains."""

    sentence: str


ModelEvent = Ready | Text | Sound | Ended | Truncated | Transcribed | Failed | Told
