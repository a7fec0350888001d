"""The sound of an answer between the generator that makes it and the speaker that plays it.

Playing starts when the measured rate of generation says that it will not run dry. On a machine
slower than real time that means waiting, which can be told (`wait`), rather than gaps within words.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInputError
from .pace import Pace
from .ports import OutputState, Wait

__all__ = ["Playback", "PlaybackSettings"]


@dataclass(frozen=True, kw_only=True)
class PlaybackSettings:
    """How much sound an answer waits for before it is played, and how it is faded."""

    cushion_s: float = 0.1
    """Sound to have beyond what the measured rate asks for: a few turns of the scheduler."""
    expected_answer_s: float = 10.0
    """Length of an answer before any is known: two or three sentences."""
    longest_answer_s: float = 60.0
    """No wait is planned for more than that."""
    expected_factor: float | None = None
    """Real-time factor before any was measured. None: the first answer waits for its second
    chunk of sound, which tells."""
    paced_s: float | None = None
    """For sound that is sent from elsewhere: once it is so far ahead of real time, the sender is
    fast enough and may hold the rest back on purpose, so that nothing is measured any more.
    None: sound comes as fast as it is made."""
    maker: str = "this machine"
    """What makes the sound, where a sentence says that it is slow."""
    fade_s: float = 0.005
    """Fade where sound is broken off or goes on, long enough to be no click."""

    def __post_init__(self) -> None:
        """Refuse values without a meaning."""
        if min(self.cushion_s, self.fade_s) < 0:
            raise BadInputError("a duration of the playback is negative; give 0 or more.")
        if not 0 < self.expected_answer_s <= self.longest_answer_s:
            raise BadInputError(
                f"answers of {self.expected_answer_s:g} s are expected, of "
                f"{self.longest_answer_s:g} s at most; give the smaller number first."
            )


class Playback:
    """The `OutputPort` for a speaker of this machine, which pulls what it is to play.

    One answer after another: `begin`, `push` its chunks, `finish` it, or `stop`.
    A generating thread may push while the sound system's callback pulls: a lock is held for a
    few microseconds, never while anything waits. Times are seconds of one clock that never
    goes back, such as `time.monotonic()`.
    """

    def __init__(
        self,
        rate: int,
        settings: PlaybackSettings | None = None,
        *,
        latency: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """Play sound of `rate` Hz; `latency` tells the seconds from `pull` to the ear."""
        self._latency = latency
        self.settings = settings or PlaybackSettings()
        self._rate = rate
        self._pace = Pace(
            answer_s=self.settings.expected_answer_s,
            longest_s=self.settings.longest_answer_s,
            factor=self.settings.expected_factor,
            paced_s=self.settings.paced_s,
        )
        self._fade = max(1, round(self.settings.fade_s * rate))
        self._lock = threading.Lock()
        self._chunks: deque[NDArray[np.float32]] = deque()
        self._ready = 0
        """Samples in `_chunks`."""
        self._ending = np.zeros(0, dtype=np.float32)
        """The last samples of what ended, faded; played before anything else."""
        self._faded_in = 0
        """Samples since the sound began or resumed, up to the length of the fade."""
        self._state: OutputState = "idle"
        self._held_at: float | None = None
        self._complete = False
        self._played = 0
        self._underruns = 0

    def begin(self) -> None:
        """An answer is going to come. One that still plays is stopped."""
        with self._lock:
            self._break_off()
            self._pace.begin()
            self._state, self._complete = "waiting", False
            self._faded_in = self._played = self._underruns = 0

    def push(self, samples: NDArray[np.float32], now: float) -> None:
        """The next samples of the answer, float32 [n], came at the time `now`.

        After `stop` and before `begin` they are dropped: a generation ends a little later.
        """
        with self._lock:
            if self._state == "idle" or self._complete or not len(samples):
                return
            self._chunks.append(samples)
            self._ready += len(samples)
            self._pace.arrived(len(samples) / self._rate, now)
            self._start_if_safe()

    def finish(self) -> None:
        """The answer is complete; what is left will be played."""
        with self._lock:
            if self._state == "idle" or self._complete:
                return
            self._complete = True
            self._pace.finish()
            self._state = "playing" if self._ready else "idle"

    def stop(self, now: float) -> int:
        """Fade out now and drop the rest; return how many samples reached the ear until now.

        What was pulled within the last `latency` seconds is on its way there; while the answer
        is held nothing follows it, and what is on its way arrives.
        """
        on_its_way = self._latency()
        with self._lock:
            if self._held_at is not None:
                on_its_way = max(0.0, on_its_way - (now - self._held_at))
            heard = max(0, self._played - round(on_its_way * self._rate))
            self._break_off()
        return heard

    def hold(self, now: float) -> None:
        """Fade out now and play silence until `release`; nothing is lost. `stop` ends it too."""
        with self._lock:
            if self._state == "idle" or self._held_at is not None:
                return
            if self._state == "playing":
                self._fade_out()
            self._held_at = now

    def release(self) -> None:
        """Go on where `hold` faded out."""
        with self._lock:
            self._held_at = None

    def pull(self, count: int) -> NDArray[np.float32]:
        """The next `count` samples for the speaker: float32 [count], silence where none are."""
        out = np.zeros(count, dtype=np.float32)
        with self._lock:
            done = self._play_ending(out)
            if self._state == "playing" and self._held_at is None:
                sure = min(count - done, max(0, self._ready - self._fade))
                out[done : done + sure] = self._take(sure)
                done += sure
                if done < count:
                    self._run_out()
                    self._play_ending(out[done:])
        return out

    @property
    def state(self) -> OutputState:
        """Whether an answer's sound is collected ("waiting") or pulled; see `OutputState`."""
        return self._state

    @property
    def latency(self) -> float:
        """Seconds from pulling a sample to hearing it."""
        return self._latency()

    @property
    def played(self) -> int:
        """Samples of the present or last answer that were handed to the speaker.

        They are heard after the speaker's latency.
        """
        return self._played

    @property
    def underruns(self) -> int:
        """How often the present or last answer ran dry before it was complete."""
        return self._underruns

    @property
    def wait(self) -> Wait | None:
        """From the last `push` until playing is expected to start, if generation is slower than
        real time; None: it is not, or that is not known yet."""
        with self._lock:
            factor = self._pace.factor
            if self._state != "waiting" or factor is None or factor <= 1:
                return None
            seconds = self._pace.wait(self._ready / self._rate, self.settings.cushion_s)
            if seconds is None:
                return None
            return Wait(seconds=seconds, factor=factor, maker=self.settings.maker)

    def _start_if_safe(self) -> None:
        needed = self._pace.head_start(self.settings.cushion_s)
        if self._state == "waiting" and needed is not None and self._ready >= needed * self._rate:
            self._state = "playing"

    def _run_out(self) -> None:
        """All sound was pulled: the answer is over, or more comes too late, an underrun."""
        self._fade_out()
        if self._complete:
            self._state = "idle"
        else:
            self._underruns += 1
            self._state = "waiting"

    def _break_off(self) -> None:
        """End the answer: of what plays a fade is left, all the rest is dropped."""
        if self._state == "playing" and self._held_at is None:
            self._fade_out()
        if self._state != "idle" and not self._complete:
            self._pace.stop()
        self._chunks.clear()
        self._ready, self._held_at = 0, None
        self._state = "idle"

    def _fade_out(self) -> None:
        """Make the next samples the ending. `pull` keeps enough of them back for that."""
        sound = self._take(min(self._fade, self._ready))
        falling = np.arange(len(sound), 0, -1, dtype=np.float32) - 1
        self._ending = np.concatenate([self._ending, sound * falling / np.float32(self._fade)])
        self._faded_in = 0

    def _play_ending(self, out: NDArray[np.float32]) -> int:
        """Put what is left of an ending at the start of `out`; return how many samples."""
        count = min(len(out), len(self._ending))
        out[:count], self._ending = self._ending[:count], self._ending[count:]
        return count

    def _take(self, count: int) -> NDArray[np.float32]:
        """Remove the next samples, of which there are enough; fade in if the sound begins."""
        parts = [np.zeros(0, dtype=np.float32)]
        missing = count
        while missing:
            chunk = self._chunks.popleft()
            parts.append(chunk[:missing])
            if len(chunk) > missing:
                self._chunks.appendleft(chunk[missing:])
            missing -= len(parts[-1])
        out = np.concatenate(parts)
        rising = min(count, self._fade - self._faded_in)
        gain = (self._faded_in + np.arange(rising, dtype=np.float32)) / np.float32(self._fade)
        out[:rising] *= gain
        self._faded_in += rising
        self._ready -= count
        self._played += count
        return out
