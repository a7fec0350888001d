"""How fast an answer's sound is generated, and how much of it has to wait before it is played.

Seconds of sound arrive in chunks, at times that are passed in. From them follow the real-time
factor (seconds of work per second of sound) and the head start that a gapless answer needs.
"""

from __future__ import annotations

from collections import deque

__all__ = ["Pace"]

_PRIOR_S = 1.0
"""Seconds of sound that the factor of earlier answers counts for in the present one's."""
_SAFETY = 1.1
"""Room for a machine that gets slower: the factor is assumed a tenth worse than measured."""
_REMEMBERED = 5
"""Answers whose longest tells how long the next one may become."""
_MORE = 0.25
"""An answer beyond its expected length goes on for this part of its present length."""


class Pace:
    """The generation rate of the present answer, and what earlier ones taught."""

    def __init__(
        self,
        *,
        answer_s: float,
        longest_s: float,
        factor: float | None = None,
        paced_s: float | None = None,
    ) -> None:
        """Expect answers of `answer_s` seconds until some are known, and of `longest_s` at most.

        `factor` is what to expect of the first answer; None: wait until it is measured. Sound that
        is `paced_s` seconds ahead of real time may be held back by its sender: what comes from
        then on says nothing about how fast it is made.
        """
        self._paced_s = paced_s
        self._expected = answer_s
        self._lengths: deque[float] = deque(maxlen=_REMEMBERED)
        self._longest = longest_s
        self._known_factor = factor
        self._known_gap = 0.0
        """Longest time between two chunks of the answer before, seconds."""
        self.begin()

    def begin(self) -> None:
        """Start to measure a new answer."""
        self._first: float | None = None
        self._last = 0.0
        self._measured = 0.0
        """Seconds of sound after the first chunk, of which nobody knows how long it took."""
        self._gap = 0.0
        self._held_back = False
        """Whether the sender may have begun to hold sound back."""
        self._largest = 0.0
        """Seconds of sound of the largest chunk."""
        self.sound = 0.0
        """Seconds of sound of this answer so far."""

    def arrived(self, seconds: float, now: float) -> None:
        """A chunk of `seconds` of sound came at the time `now`, in seconds of one clock."""
        self.sound += seconds
        self._largest = max(self._largest, seconds)
        if self._held_back:
            return
        if self._first is None:
            self._first = now
        else:
            self._measured += seconds
            self._gap = max(self._gap, now - self._last)
        self._last = now
        # The first chunk is sound without a known time; who is ahead without it is ahead.
        if self._paced_s is not None:
            self._held_back = self._measured - (now - self._first) >= self._paced_s

    def finish(self) -> None:
        """The answer is complete: remember its length and its rate for the next."""
        if self.sound:
            self._lengths.append(self.sound)
            self._expected = max(self._lengths)
        self.stop()

    def stop(self) -> None:
        """The answer was broken off: remember its rate, its length means nothing."""
        if self._measured:
            self._known_factor, self._known_gap = self.factor, self._gap

    @property
    def factor(self) -> float | None:
        """Seconds of work per second of sound; None: nothing was measured yet."""
        if not self._measured:
            return self._known_factor
        assert self._first is not None
        time, sound = self._last - self._first, self._measured
        if self._known_factor is not None:
            time, sound = time + _PRIOR_S * self._known_factor, sound + _PRIOR_S
        return time / sound

    def head_start(self, cushion_s: float) -> float | None:
        """Seconds of unplayed sound from which on the rest comes in time; None: not known yet.

        Before each chunk there is a gap to be bridged; on top of it, a machine slower than
        real time falls behind by its factor's excess over the whole rest of the answer.
        """
        if self.factor is None:
            return None
        gap = max(self._gap, self._known_gap, self.factor * self._largest)
        falls_behind = max(0.0, _SAFETY * self.factor - 1) * self._rest()
        return cushion_s + _SAFETY * gap + falls_behind

    def wait(self, waiting: float, cushion_s: float) -> float | None:
        """Seconds until playing can start with `waiting` seconds of sound; None: not known."""
        needed = self.head_start(cushion_s)
        if needed is None or self.factor is None:
            return None
        # The need shrinks while more sound arrives, for less of it is still to come.
        shrinks = max(0.0, _SAFETY * self.factor - 1) if self._rest() else 0.0
        return max(0.0, needed - waiting) / (1 + shrinks) * self.factor

    def _rest(self) -> float:
        """Seconds of sound that may still come; 0 only beyond the longest answer."""
        expected = max(self._expected - self.sound, _MORE * self.sound)
        return max(0.0, min(expected, self._longest - self.sound))
