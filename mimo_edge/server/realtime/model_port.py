"""What a session needs of the model, and what it is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...generation.events import TurnEnd
from ..requests.api_errors import ApiError
from .contents import InputAudio, Spoken
from .plan import Plan

__all__ = [
    "Answered",
    "Failed",
    "ModelEvent",
    "ModelPort",
    "SoundDelta",
    "TextDelta",
    "Transcribed",
    "TranscriptDelta",
    "TranscriptFailed",
]


@dataclass(frozen=True, kw_only=True)
class TextDelta:
    """A piece of an answer's words."""

    response: str
    text: str


@dataclass(frozen=True, kw_only=True)
class SoundDelta:
    """A piece of an answer's sound: float32 [n] at the model's rate."""

    response: str
    samples: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Answered:
    """An answer came to its end, whatever the reason."""

    response: str
    end: TurnEnd
    audio_positions: int
    """How many positions of its prompt were sound."""


@dataclass(frozen=True, kw_only=True)
class Failed:
    """An answer cannot be made, or not to its end."""

    response: str
    error: ApiError


@dataclass(frozen=True, kw_only=True)
class TranscriptDelta:
    """A piece of what the user said in an item."""

    item: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Transcribed:
    """What the user said in an item, all of it."""

    item: str
    text: str
    seconds: float
    """Of sound."""


@dataclass(frozen=True, kw_only=True)
class TranscriptFailed:
    """What the user said in an item cannot be written down."""

    item: str
    error: ApiError


ModelEvent = (
    TextDelta | SoundDelta | Answered | Failed | TranscriptDelta | Transcribed | TranscriptFailed
)


class ModelPort(Protocol):
    """Who answers. Every call returns at once; what comes of it is told by events."""

    def hear(self, samples: NDArray[np.float32]) -> None:
        """The user speaks, and what is said begins with these samples."""

    def prepare(self, plan: Plan) -> None:
        """The user may be done: make ready for this answer, in place of another one."""

    def forget(self) -> None:
        """The user goes on: stop preparing."""

    def answer(self, response: str, plan: Plan, spoken: Spoken, *, aside: bool) -> None:
        """Answer; `aside`: beside the conversation, of which its cache then knows nothing.

        The answer's positions are put into `spoken`.
        """

    def stop(self, response: str) -> None:
        """End an answer within one step."""

    def transcribe(self, item: str, audio: InputAudio, language: str | None) -> None:
        """Write down what the user said, beside everything else.

        `language` is what the client says is spoken, as `en`; a model that cannot be told that does
        without.
        """
