"""Turn-taking: when the user speaks, pauses, is done, or interrupts. A pure state machine.

Time is the number of samples fed; no clock, no thread, no device.

    idle ──voice──→ maybe ──enough of it──→ speech ──silence──→ pause ──longer silence──→ idle
      ↑               │  TurnStarted,         ↑  PauseStarted     │      TurnFinished
      └───silence─────┘  BargeIn              └──SpeechResumed────┘

While the model speaks, a `maybe` that goes on holds the answer (`BargeInSuspected`).
"""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ..audio.voice_activity import VoiceChunk
from .tape import Tape
from .turn_events import (
    BargeIn,
    BargeInDismissed,
    BargeInMode,
    BargeInSuspected,
    PauseStarted,
    SpeechResumed,
    TurnEvent,
    TurnFinished,
    TurnSettings,
    TurnStarted,
)

__all__ = ["TurnTaker", "VoiceDetector"]


class VoiceDetector(Protocol):
    """Says for each short stretch of sound how likely it is speech; see `SileroDetector`."""

    def feed(self, block: NDArray[np.float32]) -> list[VoiceChunk]:
        """Take samples, float32 [n]; return what became known, stretch by stretch, no gaps."""

    def reset(self) -> None:
        """Forget the sound so far: the next stretch begins with the next sample."""


class TurnTaker:
    """Makes turns of microphone blocks by the user's voice; a `TurnPort`.

    For one thread; holds one turn of sound at most.
    """

    def __init__(
        self,
        detector: VoiceDetector,
        rate: int,
        settings: TurnSettings | None = None,
        *,
        barge_in: BargeInMode = "off",
    ) -> None:
        """Listen with `detector` to sound of `rate` Hz."""
        self.settings = settings or TurnSettings()
        self._barge_in = barge_in
        self._detector = detector
        self._rate = rate
        self._tape = Tape()
        self._heard = False
        """Whether the detector has to be reset before it hears what does not follow."""
        self._now = 0
        """Position up to which the detector has spoken."""
        self._floor = 0
        """Position before which everything belongs to earlier turns."""
        self._model_speaks = False
        self._deaf_until = 0
        self._state: Literal["idle", "maybe", "speech", "pause"] = "idle"
        self._start = 0
        """First sample of the turn, or of what may become one."""
        self._voiced = 0
        """Samples of the chunks that were speech."""
        self._quiet_since: int | None = None
        """Position where the present silence began."""
        self._suspected_at: int | None = None
        """Position since which the answer is held, until it is known what the sound over it is."""

    def certain(self) -> NDArray[np.float32]:
        """The sound of the turn in progress that belongs to it however it ends: float32 [n].

        That leaves out the last `pause_s`: a silence may have begun there, of which the turn
        keeps a short rest only. Without a turn in progress there are 0 samples.
        """
        if self._state == "pause":
            return self._tape.read(self._start, self._speech_end())
        end = self._now - self._samples(self.settings.pause_s)
        if self._state != "speech" or end <= self._start:
            return np.zeros(0, dtype=np.float32)
        return self._tape.read(self._start, end)

    def answer_started(self) -> None:
        """The model's voice is being played from now on. A turn in progress goes on."""
        self._model_speaks = True

    def answer_ended(self) -> None:
        """The last sample of the model's voice was played, or playing was stopped."""
        if self._model_speaks and self._barge_in == "off":
            self._deaf_until = self._tape.end + self._samples(self.settings.tail_s)
        self._model_speaks, self._suspected_at = False, None

    def feed(self, block: NDArray[np.float32]) -> list[TurnEvent]:
        """Hear the next samples, float32 [n] within ±1, mono; any n. Events in their order."""
        deaf = self._deaf_samples(len(block))
        if deaf:
            self._ignore(deaf)
            block = block[deaf:]
        if not len(block):
            return []
        self._tape.append(block)
        self._heard = True
        events: list[TurnEvent] = []
        for chunk in self._detector.feed(block):
            self._now += chunk.samples
            events += self._step(chunk)
            self._tape.forget_before(self._needed_from())
        return events

    def reset(self) -> None:
        """Drop the turn in progress and the sound before this moment; nothing is reported."""
        self._ignore(0)

    def _deaf_samples(self, count: int) -> int:
        """How many of the next samples are to be ignored."""
        if self._barge_in != "off" or self._state in ("speech", "pause"):
            return 0
        if self._model_speaks:
            return count
        return max(0, min(count, self._deaf_until - self._tape.end))

    def _ignore(self, count: int) -> None:
        self._tape.skip(count)
        if self._heard:
            self._detector.reset()
            self._heard = False
        self._now = self._floor = self._tape.end
        self._state, self._quiet_since, self._suspected_at = "idle", None, None

    def _needed_from(self) -> int:
        """Position of the oldest sample that an event may still want."""
        if self._state == "idle":
            return max(self._floor, self._now - self._samples(self.settings.pre_roll_s))
        return self._start

    def _step(self, chunk: VoiceChunk) -> list[TurnEvent]:
        """Take the detector's next chunk, which ends at `_now`."""
        interrupting = self._model_speaks and self._state in ("idle", "maybe")
        enter = self.settings.barge_in_threshold if interrupting else self.settings.start_threshold
        if chunk.probability >= enter:
            events = self._voice(chunk.samples, interrupting)
        elif (
            chunk.probability < self.settings.stop_threshold
            or self._quiet_since is not None  # only voice ends a silence
            or self._state == "maybe"  # which must not last for ever
        ):
            events = self._silence(chunk.samples)
        else:
            events = []
        return events + self._cut_if_too_long()

    def _voice(self, samples: int, interrupting: bool) -> list[TurnEvent]:
        began = self._now - samples
        if self._state == "idle":
            self._state, self._voiced = "maybe", 0
            self._start = max(self._floor, began - self._samples(self.settings.pre_roll_s))
        if not self._may_be_echo():
            self._voiced += samples
        self._quiet_since = None
        if self._state == "pause":
            self._state = "speech"
            return [SpeechResumed()]
        if self._state == "maybe":
            return self._perhaps_start(interrupting)
        return []

    def _perhaps_start(self, interrupting: bool) -> list[TurnEvent]:
        """Start a turn, if there was enough speech for one."""
        if self._voiced < self._samples(self._needed_s(interrupting)):
            return self._perhaps_hold() if interrupting else []
        self._state, self._suspected_at = "speech", None
        started = TurnStarted(start=self._start)
        return [BargeIn(), started] if interrupting else [started]

    def _needed_s(self, interrupting: bool) -> float:
        """Seconds of voice from which on it is a turn."""
        if not interrupting:
            return self.settings.min_speech_s
        if self._barge_in == "aec" and self._suspected_at is not None:
            return self.settings.echo_speech_s
        return self.settings.barge_in_speech_s

    def _perhaps_hold(self) -> list[TurnEvent]:
        """Have the answer held, once, if there was enough speech for a suspicion."""
        enough = self._voiced >= self._samples(self.settings.barge_in_hold_s)
        if self._suspected_at is not None or not enough:
            return []
        self._suspected_at = self._now
        if self._barge_in == "aec":
            self._voiced = 0
        return [BargeInSuspected()]

    def _may_be_echo(self) -> bool:
        """Whether the answer, which is held, is still in the room."""
        if self._barge_in != "aec" or self._suspected_at is None:
            return False
        return self._now <= self._suspected_at + self._samples(self.settings.echo_s)

    def _silence(self, samples: int) -> list[TurnEvent]:
        if self._state == "idle" or self._may_be_echo():
            return []
        if self._quiet_since is None:
            self._quiet_since = self._now - samples
        quiet = self._now - self._quiet_since
        if self._state == "pause" and quiet >= self._samples(self.settings.end_silence_s):
            return [self._finish(self._speech_end())]
        if self._state != "pause" and quiet >= self._samples(self.settings.pause_s):
            if self._state == "maybe":  # a click
                held, self._suspected_at = self._suspected_at is not None, None
                self._state, self._quiet_since = "idle", None
                return [BargeInDismissed()] if held else []
            self._state = "pause"
            return [PauseStarted(samples=self._tape.read(self._start, self._speech_end()))]
        return []

    def _speech_end(self) -> int:
        """Where the turn's sound ends if the present silence is its end."""
        assert self._quiet_since is not None
        return self._quiet_since + self._samples(self.settings.rest_s)

    def _cut_if_too_long(self) -> list[TurnEvent]:
        longest = self._start + self._samples(self.settings.max_turn_s)
        if self._state in ("speech", "pause") and self._now >= longest:
            silent = self._state == "pause"
            return [self._finish(self._speech_end() if silent else longest)]
        return []

    def _finish(self, end: int) -> TurnFinished:
        samples = self._tape.read(self._start, end)
        turn = TurnFinished(samples=samples, start=self._start, end=end)
        self._floor = end
        self._state, self._quiet_since = "idle", None
        return turn

    def _samples(self, seconds: float) -> int:
        return round(seconds * self._rate)
