"""How much of an answer's sound the client has played, by the clock, and how much more it gets.

A client that never tells what it played has played what it was sent, one second a second, since
the first of it came. So nothing is sent more than a second ahead: then the estimate is never far
off, a client needs no more than a second of memory, and an interruption leaves little to drop.
"""

from __future__ import annotations

__all__ = ["AHEAD_S", "DELTA_S", "PlaybackClock"]

AHEAD_S = 1.0
"""Seconds of sound that a client may have before they are played."""
DELTA_S = 0.2
"""Seconds of sound in one event, at most."""

_ROUNDING_S = 0.001


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
