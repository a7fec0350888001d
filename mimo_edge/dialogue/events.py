"""What a live conversation tells the terminal, the recording and the tests, as it happens."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from ..generation.events import StopReason

__all__ = [
    "AnswerHeard",
    "AnswerText",
    "Level",
    "LiveEvent",
    "LiveState",
    "Notice",
    "Opened",
    "QuestionHeard",
    "QuestionText",
    "StateChanged",
    "TurnReport",
    "record_of",
]

LiveState = Literal["starting", "listening", "hearing", "thinking", "speaking", "paused"]
"""Loading and warming up; waiting for the user; the user speaks; the answer is being made and
is not heard yet; it is heard; a device is missing."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """The devices are open and the model is loaded: the conversation can begin."""

    model: str
    microphone: str
    speaker: str | None
    """None: answers have no sound."""


@dataclass(frozen=True, kw_only=True)
class StateChanged:
    """The conversation is in another state."""

    state: LiveState


@dataclass(frozen=True, kw_only=True)
class Level:
    """How loud the microphone is: decibels below full scale, root mean square of a block."""

    dbfs: float


@dataclass(frozen=True, kw_only=True)
class QuestionHeard:
    """The user's turn is over."""

    turn: int
    start: float
    """Seconds from the beginning of the conversation to that of the speech."""
    end: float
    """Seconds from the beginning of the conversation to the end of the speech."""


@dataclass(frozen=True, kw_only=True)
class QuestionText:
    """What the user said, if writing it down was asked for; it comes after the answer."""

    turn: int
    text: str


@dataclass(frozen=True, kw_only=True)
class AnswerText:
    """The next piece of an answer's text, as it is generated."""

    turn: int
    text: str


@dataclass(frozen=True, kw_only=True)
class AnswerHeard:
    """An answer is over: all of it was played, or the user interrupted it."""

    turn: int
    start: float
    """Seconds from the beginning of the conversation to the first sound of the answer."""
    end: float
    """Seconds from the beginning of the conversation to its last sound."""
    text: str
    """Of an interrupted answer only what was heard; none, if that was less than a word."""
    interrupted: bool
    thinking: str = ""
    """What the model thought aloud before, if it was asked to."""


@dataclass(frozen=True, kw_only=True)
class TurnReport:
    """Time, positions and memory that a turn took."""

    turn: int
    reason: StopReason
    first_sound_seconds: float | None
    """From the end of the user's speech to the first sound of the answer; None: no sound."""
    real_time_factor: float | None
    """Seconds of generating words and codes per second of speech; hearing the question before it
    and decoding the sound beside it are not counted."""
    tokens_per_second: float | None
    patches_per_second: float | None
    evaluated_positions: int
    """Prompt positions that were evaluated after the user's speech had ended."""
    cached_positions: int
    prepared_positions: int
    """Prompt positions that were evaluated while the user paused, before the turn's end."""
    underruns: int
    """How often the answer's sound ran dry."""
    resident_bytes: int
    """Memory of the process."""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """One sentence for the user about the program, not of the conversation."""

    text: str


LiveEvent = (
    Opened
    | StateChanged
    | Level
    | QuestionHeard
    | QuestionText
    | AnswerText
    | AnswerHeard
    | TurnReport
    | Notice
)

_NAMES = {
    Opened: "opened",
    StateChanged: "state",
    Level: "level",
    QuestionHeard: "question",
    QuestionText: "said",
    AnswerText: "text",
    AnswerHeard: "answer",
    TurnReport: "report",
    Notice: "notice",
}


def record_of(event: LiveEvent) -> dict[str, Any]:
    """An event as JSON: its fields and its name, `event`."""
    return {"event": _NAMES[type(event)], **asdict(event)}
