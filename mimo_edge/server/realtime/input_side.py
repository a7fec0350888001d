"""The user's sound: what came since the last turn, and where turns begin and end in it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ...dialogue.tape import Tape
from ...dialogue.turn_events import TurnEvent, TurnFinished, TurnStarted
from ...dialogue.turns import VoiceDetector
from ..requests.api_errors import ApiError
from .pcm import PcmReader
from .settings import Settings
from .turn_detection import VoiceTurns

__all__ = ["InputSide"]

Samples = NDArray[np.float32]

_LONGEST_S = 600.0
"""Seconds of sound that may wait to be committed by the client."""
_KEPT_S = 60.0
"""Of them, with turn detection, in which a commit is not needed."""
_LEAST_S = 0.02
"""What is shorter waits for more: single samples would each cost as much as a block."""
_SHORTEST_S = 0.1
"""What is shorter is no turn, as at OpenAI."""


class InputSide:
    """For the event loop. Times are milliseconds of all sound that the session got."""

    def __init__(self, rate: int, new_detector: Callable[[], VoiceDetector]) -> None:
        """The model wants `rate` Hz; `new_detector` is asked for at most one detector."""
        self._rate = rate
        self._new_detector = new_detector
        self._detector: VoiceDetector | None = None
        self._tape = Tape()
        """Since the last turn."""
        self._held = np.zeros(0, dtype=np.float32)
        """Less than `_LEAST_S`, which waits for more."""
        self._reader = PcmReader(rate, rate)
        self._reads_at = rate
        self._turns: VoiceTurns | None = None

    @property
    def ms(self) -> int:
        """How much sound came."""
        return self._ms(self._tape.end)

    @property
    def waiting_s(self) -> float:
        """Seconds that are not committed."""
        return (self._tape.end - self._tape.start) / self._rate

    def configure(self, settings: Settings) -> None:
        """Other settings from now on; a turn in progress goes on if it can.

        Raises:
            MimoEdgeError: there is no voice detector.
        """
        detection = settings.turn_detection
        if detection is None:
            self._turns = None
        elif self._turns is not None:
            self._turns.change(detection)
        else:
            self._detector = self._detector or self._new_detector()
            self._detector.reset()
            self._turns = VoiceTurns(
                self._detector, self._rate, detection, begins_at=self._tape.end
            )
        if settings.input_rate != self._reads_at:
            self._take_rest()
            self._reads_at = settings.input_rate
            self._reader = PcmReader(settings.input_rate, self._rate)

    def close(self) -> None:
        """Let go of the sound and the detector; nothing is heard any more."""
        self._turns = self._detector = None
        self._tape, self._held = Tape(), np.zeros(0, dtype=np.float32)

    def read(self, audio: str) -> Samples:
        """The sound of an event in base64, to be given to `hear` piece by piece.

        Raises:
            ApiError: it is not base64, or the client never commits what it sends.
        """
        if self._turns is None and self.waiting_s > _LONGEST_S:
            raise ApiError(
                400,
                f"{self.waiting_s:.0f} s of sound wait to be committed; commit or clear the "
                "buffer.",
                code="input_audio_buffer_full",
            )
        samples = np.concatenate([self._held, self._reader.read(audio, "audio")])
        ready = len(samples) >= _LEAST_S * self._rate
        self._held = samples[len(samples) if ready else 0 :]
        return samples[: len(samples) if ready else 0]

    def hear(self, samples: Samples) -> list[TurnEvent]:
        """The next samples; what they tell of turns."""
        self._tape.append(samples)
        if self._turns is None:
            return []
        self._tape.forget_before(self._tape.end - round(_KEPT_S * self._rate))
        events = self._turns.feed(samples)
        for event in events:
            if isinstance(event, TurnFinished):
                self._tape.forget_before(self._turns.begins_at + event.end)
        return events

    def certain(self) -> Samples:
        """The sound of the turn in progress that belongs to it in any case: float32 [n]."""
        return self._turns.certain() if self._turns is not None else np.zeros(0, dtype=np.float32)

    def started_ms(self, event: TurnStarted) -> int:
        """When a turn began."""
        assert self._turns is not None
        return self._ms(self._turns.begins_at + event.start)

    def ended_ms(self, event: TurnFinished) -> int:
        """When a turn ended."""
        assert self._turns is not None
        return self._ms(self._turns.begins_at + event.end)

    def commit(self) -> Samples:
        """End the turn here: all sound since the last one, float32 [n].

        Raises:
            ApiError: there is too little.
        """
        self._take_rest()
        if self.waiting_s < _SHORTEST_S:
            raise ApiError(
                400,
                f"{1000 * self.waiting_s:.0f} ms of sound wait in the buffer; send at least "
                f"{1000 * _SHORTEST_S:.0f} ms before a commit.",
                code="input_audio_buffer_commit_empty",
            )
        samples = self._tape.read(self._tape.start, self._tape.end)
        self._forget()
        return samples

    def clear(self) -> None:
        """Forget the sound since the last turn, and the turn in progress."""
        self._take_rest()
        self._forget()

    def _take_rest(self) -> None:
        """Put what waits behind the tape; the detector does not hear it."""
        rest = np.concatenate([self._held, self._reader.finish()])
        self._held = self._held[:0]
        self._tape.append(rest)
        if self._turns is not None:
            self._turns.begins_at += len(rest)

    def _forget(self) -> None:
        self._tape.forget_before(self._tape.end)
        if self._turns is not None:
            self._turns.reset()

    def _ms(self, position: int) -> int:
        return position * 1000 // self._rate
