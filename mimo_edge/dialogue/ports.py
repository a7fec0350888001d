"""What a conversation needs from outside: turn-taking, a model, and a place where answers sound.

`Conversation` knows nothing else of the world. A microphone loop, a socket and a test each bring
implementations of their own. All calls come from the conversation's thread and return at once;
`now` is seconds of the conversation's clock.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .turn_events import TurnEvent

__all__ = ["ModelPort", "OutputPort", "OutputState", "TurnPort", "Wait"]

OutputState = Literal["idle", "waiting", "playing"]
"""There is no answer, or it sounded to its end; an answer has begun and does not sound, not yet or
not now; it sounds."""


class Wait(NamedTuple):
    """Why an answer does not sound yet: it is made more slowly than it is to be played."""

    seconds: float
    """Until it is expected to sound, from the last piece of sound that came."""
    factor: float
    """Seconds of work for a second of sound, more than 1."""
    maker: str = "this machine"
    """What makes it, as a sentence names it."""


class TurnPort(Protocol):
    """Who tells when the user speaks: `TurnTaker` by the voice, `PushToTalk` by a key."""

    def feed(self, block: NDArray[np.float32]) -> list[TurnEvent]:
        """Take the microphone's next samples, float32 [n]; return what became known with them."""

    def certain(self) -> NDArray[np.float32]:
        """The sound of the turn in progress that belongs to it whatever comes: float32 [n]."""

    def answer_started(self) -> None:
        """The model's voice sounds from now on."""

    def answer_ended(self) -> None:
        """The model's voice sounds no longer, or not at all."""

    def reset(self) -> None:
        """Drop the turn in progress."""


class ModelPort(Protocol):
    """Who answers. What comes of a call is told later, in order, with `model_events`."""

    def hear(self, samples: NDArray[np.float32]) -> None:
        """The question goes on, and begins with these samples: float32 [n]."""

    def prepare(self, samples: NDArray[np.float32]) -> None:
        """The user may be done: make ready to answer these samples, float32 [n]."""

    def forget(self) -> None:
        """The user went on: stop preparing."""

    def answer(self, turn: int, samples: NDArray[np.float32]) -> None:
        """Answer float32 [n] with `Text` and `Sound` events, then `Ended` or `Failed`."""

    def stop(self, turn: int, heard: int) -> None:
        """End the answer and keep what `heard` samples of its sound said: a `Truncated` event."""


class OutputPort(Protocol):
    """Where the sound of answers goes, one answer after another.

    `Playback` is the one for a speaker of this machine. An output may as well pass sound on to
    somebody who plays it elsewhere and reports how far that came. Samples are counted from the
    first of the present answer.
    """

    @property
    def state(self) -> OutputState:
        """What the output does with the present answer."""

    @property
    def latency(self) -> float:
        """Seconds from a change of `state` until the ear notices it.

        0 where `state` itself follows what is heard, as it does after reports of a client.
        """

    @property
    def underruns(self) -> int:
        """How often the present or last answer fell silent because its sound came too late."""

    @property
    def wait(self) -> Wait | None:
        """What to tell the user while nothing sounds; None: nothing, or it is not known yet."""

    def begin(self) -> None:
        """An answer is going to come; one that still sounds is stopped."""

    def push(self, samples: NDArray[np.float32], now: float) -> None:
        """The answer's next samples, float32 [n]; dropped after `stop`, until `begin`."""

    def finish(self) -> None:
        """The answer is complete; what is left of it will be played."""

    def hold(self, now: float) -> None:
        """Be silent until `release`, lose nothing: the user may be speaking over the answer."""

    def release(self) -> None:
        """Go on where `hold` fell silent."""

    def stop(self, now: float) -> int:
        """Be silent and drop the rest; return how many samples of the answer reached the ear.

        An output that depends on reports returns what was reported last. Mostly `hold` came some
        time before, and the reports have caught up.
        """
