"""How many cores the language model has for itself just now.

Threads that wait for each other, as llama.cpp's do hundreds of times per token, are as slow as the
slowest: one that has to share its core holds up all. It is better to leave a core alone that
another program keeps busy, or the decoding of the sound that was generated already.

A lower priority for the sound is no way out: beside two busy programs it gets next to nothing, and
while it waits with Python's lock in its hands, so does everything else.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator

import psutil

from .cores import allowed_cpus, usable_cores

__all__ = ["ProcessorTimes", "SpareCores", "processor_times"]

_LOOK_EVERY_S = 0.25
_PAUSE_S = 0.5
_TAKEN = 0.3
"""Share of a core above which it counts as another program's."""

ProcessorTimes = tuple[float, float, int]
"""Seconds so far (computed by all programs, of that by this one) and logical processors."""


def processor_times() -> ProcessorTimes:
    """Seconds that were computed on the processors that this process may use."""
    allowed = allowed_cpus()
    each = psutil.cpu_times(percpu=True)
    own = os.times()
    of_interest = [cpu for n, cpu in enumerate(each) if allowed is None or n in allowed] or each
    # What a virtual machine's host takes (`steal`) is no program here that one could make way for.
    parts = ("user", "nice", "system", "irq", "softirq", "interrupt", "dpc")
    total = sum(getattr(cpu, part, 0.0) for cpu in of_interest for part in parts)
    return total, own.user + own.system, len(of_interest)


class SpareCores:
    """How many cores one model finds free.

    What it computes itself is known, what other programs do is looked at now and then.
    """

    def __init__(
        self,
        times: Callable[[], ProcessorTimes] = processor_times,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._times, self._clock = times, clock
        self._others = 0.0
        """Logical processors' worth of time that other programs took when it was last looked."""
        self._own_cores = usable_cores()
        self._taken = 0
        """How many cores the decoding of this model's own sound takes just now."""
        self._begin()
        self._ran_at = self._at

    def spare(self, wanted: int) -> int:
        """How many of `wanted` threads find a core of their own now; at least 1.

        Looks again if the last look is a quarter of a second ago; costs 0.1 ms then. What others
        did in a pause of this program's work is no sign of what they will do beside it.
        """
        now = self._clock()
        if now - self._ran_at > _PAUSE_S:
            self._begin()
        elif now - self._at >= _LOOK_EVERY_S:
            self.look()
        others = int(self._others + 1 - _TAKEN)
        return max(1, min(wanted, self._cpus - others, self._own_cores - self._taken))

    def ran(self) -> None:
        """Tell that the work that `spare` was asked for is done."""
        self._ran_at = self._clock()

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """In the block, the calling thread is counted as one that keeps a core busy."""
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    def look(self) -> float:
        """Logical processors' worth of time that other programs took since the last look."""
        at, total, own = self._at, self._total, self._own
        self._begin()
        if self._at > at:
            others = (self._total - total) - (self._own - own)
            self._others = max(0.0, others / (self._at - at))
        return self._others

    def _begin(self) -> None:
        self._at = self._clock()
        self._total, self._own, self._cpus = self._times()
