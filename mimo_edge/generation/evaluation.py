"""A prompt on its way into a cache: what an answer begins with, and what is measured meanwhile."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from ..prompt.positions import Positions
from ..stages.llama.batch import BackboneOutput
from .events import StopReason
from .position_cache import New, PositionCache

__all__ = ["Clock", "Evaluation", "Readings"]


@dataclass
class Clock:
    """Seconds that passed while an answer was in each of its phases, filled in by the scheduler."""

    prefill: float = 0.0
    backbone: float = 0.0
    patch: float = 0.0


@dataclass
class Readings:
    """How often the weights of the backbone were read for positions that were generated."""

    count: int = 0
    """With an output; those of the prompt before its last position do not count."""
    guessing: int = 0
    """Those in which ids were guessed."""
    guessed: int = 0
    """Ids that were guessed in them."""
    accepted: int = 0
    """Guessed ids that were right: so many readings were saved."""


class Evaluation:
    """A prompt on its way into a cache; it is done when the output of its last position is known.

    What the cache holds is the state: wherever an evaluation is interrupted, and whatever was cut
    from the cache meanwhile to give another conversation room, `next_rows` says what is missing.
    """

    def __init__(
        self, cache: PositionCache, prompt: Positions, *, cancel: threading.Event | None = None
    ) -> None:
        """Aim the cache at `prompt`; `cancel` ends it between two steps.

        Raises:
            MimoEdgeError: the prompt does not fit the context.
        """
        self.cache = cache
        self.prompt = prompt
        self.cached = cache.aim_at(prompt)
        """Positions of the prompt that were in the cache at first."""
        self.clock = Clock()
        self.error: Exception | None = None
        """Why it cannot go on; raised where its steps are asked for."""
        self.reason: StopReason | None = None
        """Why it ended; None: it did not yet."""
        self.awaited = False
        """Whether somebody waits for its next step."""
        self.reader: int | None = None
        """The thread that waits for it, or did so last."""
        self.left_at = time.monotonic()
        """When that thread last had what it waited for, in seconds of the monotonic clock."""
        self._cancel = cancel

    @property
    def length(self) -> int:
        """Positions that the cache is to hold."""
        return len(self.prompt)

    @property
    def missing(self) -> int:
        """How many of them it does not hold."""
        return self.length - len(self.cache)

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to do."""
        return self.reason is not None or self.error is not None

    @property
    def wants_logits(self) -> bool:
        """Whether the output behind the last position has to have logits."""
        return True

    @property
    def unread(self) -> int:
        """Steps that nobody took yet."""
        return 0

    @property
    def generated(self) -> int:
        """Positions that were generated and go into the cache."""
        return self.length - len(self.prompt)

    def look_at_cancel(self) -> None:
        """End here if that is wanted."""
        if self._cancel is not None and self._cancel.is_set() and not self.ended:
            self.reason = "cancelled"

    def next_rows(self, most: int) -> New:
        """At most so many of the missing positions, the last one with its output.

        It comes by itself, in the next step of all answers, if the weights are read for it anyway.
        """
        start = len(self.cache)
        end = min(start + most, self.length)
        if end == self.length and end - start > 1 and not self.cache.finishes_prompts:
            end -= 1
        outputs = int(end == self.length)
        return New(self.cache, self._run(start, end), outputs, logits=self.wants_logits)

    def take(self, output: BackboneOutput) -> bool:
        """The output of the last position is known; whether a patch is needed to go on."""
        self.reason = "stop"
        return False

    def with_guesses(self, new: New, most: int) -> New:
        """The same new positions, the last of them with its output, and at most so many guesses
        behind it."""
        return new

    def accept_guess(self) -> bool:
        """Whether the position that was taken last was guessed, so that its output is known."""
        return False

    def was_read(self, new: New) -> None:
        """The weights were read for these positions."""

    def _run(self, start: int, end: int) -> Positions:
        """Positions `start` to `end` of what the cache is to hold."""
        return self.prompt[start:end]
