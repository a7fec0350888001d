"""The settings of turn detection, as `dialogue.turns` takes them; and a detector kept fresh."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...dialogue.turn_events import TurnEvent, TurnSettings
from ...dialogue.turns import TurnTaker, VoiceDetector
from .session_parameters import SemanticVad, ServerVad

__all__ = ["VoiceTurns", "turn_settings"]

_SILENCE_MS = {"high": 400, "auto": 700, "medium": 700, "low": 1400}
"""Eagerness → silence that ends a turn. What was said is not judged, only how long it is quiet."""
_SHORTEST_SILENCE_MS = 100
"""Of which preparing an answer takes the first half."""
_FRESH_S = 60.0
"""Seconds without a voice after which the detector forgets: its state drifts over hours."""
_QUIET = 0.01
"""Peak amplitude (-40 dB) of a block in which no word begins, so that it can forget there."""


def turn_settings(detection: ServerVad | SemanticVad) -> TurnSettings:
    """When something is a turn, in the terms of `TurnTaker`."""
    defaults = TurnSettings()
    if isinstance(detection, SemanticVad):
        threshold, padding = defaults.start_threshold, defaults.pre_roll_s
        silence = _SILENCE_MS[detection.eagerness] / 1000
    else:
        threshold = min(max(detection.threshold, 0.02), 0.98)
        padding = detection.prefix_padding_ms / 1000
        silence = max(detection.silence_duration_ms, _SHORTEST_SILENCE_MS) / 1000
    pause = min(defaults.pause_s, silence / 2)
    return TurnSettings(
        start_threshold=threshold,
        stop_threshold=max(threshold - 0.15, threshold / 2),
        # There are no thresholds of their own for interruptions: the client knows its echo.
        barge_in_threshold=max(threshold, defaults.barge_in_threshold),
        pre_roll_s=padding,
        pause_s=pause,
        rest_s=min(defaults.rest_s, pause),
        end_silence_s=silence,
    )


class VoiceTurns:
    """The turns of one session's user by the voice."""

    def __init__(
        self,
        detector: VoiceDetector,
        rate: int,
        detection: ServerVad | SemanticVad,
        *,
        begins_at: int = 0,
    ) -> None:
        """Sound has `rate` Hz; the detector is this session's alone.

        `begins_at` samples came before the first one that is fed.
        """
        self._rate = rate
        self._taker = TurnTaker(detector, rate, turn_settings(detection))
        self.begins_at = begins_at
        """To be added to the positions of events."""
        self._uneventful = 0
        """Samples since the last event."""

    def change(self, detection: ServerVad | SemanticVad) -> None:
        """Other settings from now on; a turn in progress goes on."""
        self._taker.settings = turn_settings(detection)

    def feed(self, samples: NDArray[np.float32]) -> list[TurnEvent]:
        """The next samples, float32 [n]; events in their order."""
        events = self._taker.feed(samples)
        self._uneventful = 0 if events else self._uneventful + len(samples)
        quiet = not len(samples) or float(np.abs(samples).max()) < _QUIET
        if self._uneventful > _FRESH_S * self._rate and quiet and not len(self._taker.certain()):
            self._taker.reset()
            self._uneventful = 0
        return events

    def certain(self) -> NDArray[np.float32]:
        """The sound that belongs to the turn in progress however it ends: float32 [n]."""
        return self._taker.certain()

    def reset(self) -> None:
        """Drop the turn in progress."""
        self._taker.reset()
