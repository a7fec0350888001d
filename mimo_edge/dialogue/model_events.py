"""What the model's thread tells the conversation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..generation.events import StopReason, TurnStats

__all__ = ["Ended", "Failed", "ModelEvent", "Ready", "Sound", "Text", "Transcribed", "Truncated"]


@dataclass(frozen=True, kw_only=True)
class Ready:
    """System prompt, voice and history are in the cache."""


@dataclass(frozen=True, kw_only=True)
class Text:
    """A piece of the answer's text."""

    turn: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Sound:
    """A piece of the answer's sound: float32 [n]."""

    turn: int
    samples: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The answer is complete or was cancelled."""

    turn: int
    reason: StopReason
    stats: TurnStats
    prepared_positions: int = 0


@dataclass(frozen=True, kw_only=True)
class Truncated:
    """An interrupted answer was cut to what was heard."""

    turn: int
    text: str
    ended: Ended | None
    """None if the answer had not begun."""


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


ModelEvent = Ready | Text | Sound | Ended | Truncated | Transcribed | Failed
