"""Push to talk: a key says when the user speaks, instead of a voice detector."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .tape import Tape
from .turn_events import BargeIn, TurnDropped, TurnEvent, TurnFinished, TurnSettings, TurnStarted

__all__ = ["PushToTalk"]


class PushToTalk:
    """Makes turns of microphone blocks and a key; a `TurnPort` that knows no pauses.

    For one thread; holds one turn of sound at most. Of the settings it uses the pre-roll, the
    shortest and the longest turn.
    """

    def __init__(self, rate: int, settings: TurnSettings | None = None) -> None:
        """Record sound of `rate` Hz."""
        self.settings = settings or TurnSettings()
        self._rate = rate
        self._tape = Tape()
        self._floor = 0
        """Position before which everything belongs to earlier turns or to the model's voice."""
        self._model_speaks = False
        self._start: int | None = None
        """First sample of the turn, while the key is down."""
        self._pressed = 0
        """Position where the key went down."""

    def certain(self) -> NDArray[np.float32]:
        """The turn in progress so far: float32 [n], maybe none."""
        if self._start is None:
            return np.zeros(0, dtype=np.float32)
        return self._tape.read(self._start, self._tape.end)

    def answer_started(self) -> None:
        """The model's voice is being played from now on."""
        self._model_speaks = True

    def answer_ended(self) -> None:
        """The last sample of the model's voice was played, or playing was stopped."""
        self._model_speaks = False
        if self._start is None:
            self._floor = self._tape.end  # a pre-roll must not hold the model's voice

    def press(self) -> list[TurnEvent]:
        """The key went down; while it is down already, nothing happens."""
        if self._start is not None:
            return []
        now = self._tape.end
        events: list[TurnEvent] = []
        if self._model_speaks:
            events.append(BargeIn())
            self._floor = now
        self._start = max(self._floor, now - self._samples(self.settings.pre_roll_s))
        self._pressed = now
        return [*events, TurnStarted(start=self._start)]

    def feed(self, block: NDArray[np.float32]) -> list[TurnEvent]:
        """Record the next samples, float32 [n], mono; any n. Only a full turn is an event."""
        self._tape.append(block)
        if self._start is None:
            keep = self._tape.end - self._samples(self.settings.pre_roll_s)
            self._tape.forget_before(max(self._floor, keep))
            return []
        longest = self._start + self._samples(self.settings.max_turn_s)
        return [self._finish(longest)] if self._tape.end >= longest else []

    def release(self) -> list[TurnEvent]:
        """The key went up: the turn is over, or dropped if the key was only touched."""
        if self._start is None:
            return []
        if self._tape.end - self._pressed < self._samples(self.settings.min_speech_s):
            self._start = None
            return [TurnDropped()]
        return [self._finish(self._tape.end)]

    def reset(self) -> None:
        """Drop the turn in progress and the sound before this moment; nothing is reported."""
        self._tape.skip(0)
        self._floor, self._start = self._tape.end, None

    def _finish(self, end: int) -> TurnFinished:
        assert self._start is not None
        samples = self._tape.read(self._start, end)
        turn = TurnFinished(samples=samples, start=self._start, end=end)
        self._floor, self._start = end, None
        return turn

    def _samples(self, seconds: float) -> int:
        return round(seconds * self._rate)
