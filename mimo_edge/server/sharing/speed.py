"""How many voices this machine can carry: measured, not assumed."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...bundle.manifest import Manifest
from ...generation.events import TurnEnd, TurnStats
from ...generation.sound import SoundOptions
from ...model import MimoAudio
from ...stages.machine.runtime_options import RuntimeOptions
from ...tasks import Overrides, Speak

__all__ = ["Carried", "Together", "measure_one"]

_MARGIN = 1.15
"""By how much speech has to be faster than it is heard: prompts come in between."""
_OLD_S = 10 * 60.0
"""After which a measurement of several voices says nothing any more: other programs were busy."""
_LEAST_PATCHES = 8
"""Patches of an answer from which its speed is taken."""
_NEW_SHARE = 0.4
"""What a new measurement counts, against all before."""
_MOST = RuntimeOptions().conversations
"""So many are answered at once; more would wait for each other however fast the machine is."""
_MEASURED_S = 2.0
"""Seconds at the start of the server, prompt included, unless that is too little for a machine."""
_LONGEST_S = 20.0
"""Seconds that a slow machine gets for it: the released model writes five words before its first
patch, and on two cores that alone takes more than a second, the prompt two."""
_COUNTING = "One, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve."


@dataclass(frozen=True)
class _Rate:
    each: float
    """Patches a second that one of the voices gets."""
    at: float
    """When it was measured, in seconds of the monotonic clock."""


class Carried:
    """How fast answers are made, by how many are made together."""

    def __init__(self, manifest: Manifest) -> None:
        audio = manifest.audio
        self._speaks = manifest.speaks
        self.needed = audio.sample_rate / (audio.samples_per_step * manifest.patch.group_size)
        """Patches a second of one voice: as many as are heard."""
        self._rates: dict[int, _Rate] = {}

    def measured(self, together: float, stats: TurnStats, *, least: int = _LEAST_PATCHES) -> None:
        """An answer was made beside others, `together` answers on an average with itself.

        One of fewer than `least` patches says too little.
        """
        if stats.patches < least or stats.generation_seconds <= 0:
            return
        count = min(_MOST, max(1, round(together)))
        each = stats.patches / stats.generation_seconds
        before = self._rate(count)
        if before is not None:
            each = _NEW_SHARE * each + (1 - _NEW_SHARE) * before.each
        self._rates[count] = _Rate(each, time.monotonic())

    def each(self, count: int) -> float | None:
        """Patches a second that each of `count` voices gets; None before any is measured.

        Where so many were not measured, those that were make together as much as fewer do; it is
        more in truth, as the weights are read once for all.
        """
        known = {n: rate.each for n in [*self._rates] if (rate := self._rate(n)) is not None}
        if count in known:
            return known[count]
        fewer = [n for n in known if n < count]
        if fewer:
            return known[max(fewer)] * max(fewer) / count
        return known[min(known)] if known else None

    def carry(self, count: int) -> bool:
        """Whether so many voices can speak at once without a gap.

        Before any was measured one can: a machine on which the measurement came to nothing is a
        slow one. Of a model that only writes there are no gaps.
        """
        each = self.each(count)
        if each is None:
            return count == 1 or not self._speaks
        return each >= self.needed * _MARGIN

    @property
    def most(self) -> int:
        """How many voices can speak at once, one at least."""
        return next((n - 1 for n in range(2, _MOST + 1) if not self.carry(n)), _MOST)

    def _rate(self, count: int) -> _Rate | None:
        rate = self._rates.get(count)
        # A single voice's is renewed by every answer; another one's may never be if it is low.
        if rate is None or (count > 1 and time.monotonic() - rate.at > _OLD_S):
            return None
        return rate


class Together:
    """How many answers are being made, on an average over a stretch of time."""

    def __init__(self) -> None:
        self.now = 0
        self._lock = threading.Lock()
        """Requests begin in the event loop, answers of conversations in their threads."""
        self._sum, self._at = 0.0, time.monotonic()

    @contextlib.contextmanager
    def one_more(self) -> Iterator[Stretch]:
        """Meanwhile there is one more."""
        self._change(+1)
        try:
            yield Stretch(self)
        finally:
            self._change(-1)

    def integral(self) -> float:
        """The sum of all their times so far, in seconds."""
        with self._lock:
            return self._until_now()

    def _change(self, by: int) -> None:
        with self._lock:
            self._sum, self._at = self._until_now(), time.monotonic()
            self.now += by

    def _until_now(self) -> float:
        return self._sum + self.now * (time.monotonic() - self._at)


class Stretch:
    """A stretch of time that began when it was made."""

    def __init__(self, together: Together) -> None:
        self._together = together
        self._sum, self._began = together.integral(), time.monotonic()

    @property
    def average(self) -> float:
        """Of how many answers were made at once since then."""
        seconds = time.monotonic() - self._began
        if seconds <= 0:
            return float(self._together.now)
        return (self._together.integral() - self._sum) / seconds


def measure_one(
    model: MimoAudio, lookahead: int | None = None, ends: threading.Event | None = None
) -> TurnStats | None:
    """What one answer that is spoken for some seconds says of its speed; None if it says none.

    It blocks: for two seconds, and longer only until a few patches came. `ends` ends it within
    one step. Sound is made as well, with the `lookahead` that answers have (see `SoundOptions`),
    since that takes the processor, too.
    """
    if not model.manifest.speaks:
        return None
    over = ends or threading.Event()
    audio, group = model.manifest.audio, model.manifest.patch.group_size
    enough = _LEAST_PATCHES * group * audio.samples_per_step
    until = time.monotonic() + _MEASURED_S
    made = 0

    def sound(samples: NDArray[np.float32]) -> None:
        nonlocal made
        made += len(samples)
        if made >= enough and time.monotonic() >= until:
            over.set()

    timer = threading.Timer(_LONGEST_S, over.set)
    timer.daemon = True
    timer.start()
    try:
        task = Speak(text=_COUNTING, overrides=Overrides(seed=0))
        options = SoundOptions(lookahead=lookahead, on_samples=sound)
        with contextlib.closing(model.stream(task, cancel=over, sound=options)) as events:
            for event in events:
                if isinstance(event, TurnEnd):
                    return event.stats
    finally:
        timer.cancel()
    return None
