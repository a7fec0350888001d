"""How much of an answer's sound the client has played, by the clock, and how much more it gets.

A client that never tells what it played has played what it was sent, one second a second, since
the first of it came. So nothing is sent more than a second ahead: then the estimate is never far
off, a client needs no more than a second of memory, and an interruption leaves little to drop.
"""

from __future__ import annotations

from ...dialogue.pace import Pace

__all__ = ["AHEAD_S", "DELTA_S", "PlaybackClock", "has_to_wait", "new_pace"]

AHEAD_S = 1.0
"""Seconds of sound that a client may have before they are played."""
DELTA_S = 0.2
"""Seconds of sound in one event, at most."""

_ROUNDING_S = 0.001

_ANSWER_S = 5.0
"""Length to expect of an answer, until some are known."""
_LONGEST_S = 60.0
_KEEPS_UP = 0.9
"""Seconds of work for a second of sound, up to which sound that is sent as it comes has no gaps."""


def new_pace() -> Pace:
    """What a session learns of how fast its answers are made."""
    return Pace(answer_s=_ANSWER_S, longest_s=_LONGEST_S)


def has_to_wait(pace: Pace, waiting_s: float) -> bool:
    """Whether an answer of which so much sound waits would fall silent, were it begun now.

    Of a machine that is slower than what it says is heard. Its first answer is not known to be.
    """
    if pace.factor is None or pace.factor <= _KEEPS_UP:
        return False
    return waiting_s < (pace.head_start(0.0) or 0.0)


class PlaybackClock:
    """Counts samples of one answer; `now` is seconds of a clock that never goes back."""

    def __init__(self, rate: int) -> None:
        """Of sound of `rate` Hz."""
        self._rate = rate
        self.sent = 0
        """Samples that the client got."""
        self._silent_at = 0.0
        """When all that was sent will have been played."""

    def send(self, samples: int, now: float) -> None:
        """So many more samples are sent. After a gap, playing begins anew."""
        self._silent_at = max(self._silent_at, now) + samples / self._rate
        self.sent += samples

    def ahead(self, now: float) -> float:
        """Seconds of sound that the client has and did not play yet."""
        return max(0.0, self._silent_at - now)

    def played(self, now: float) -> int:
        """Samples that were heard until now, an estimate."""
        return max(0, self.sent - round(self.ahead(now) * self._rate))

    def next_at(self, samples: int, now: float) -> float:
        """When so many more samples may be sent: `now` if they may be already."""
        over = self.ahead(now) + samples / self._rate - AHEAD_S
        return now if over < _ROUNDING_S else now + over
