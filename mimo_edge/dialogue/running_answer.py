"""The answer in progress in a live conversation, and what is told of it when it is over."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..generation.events import TurnStats
from ..prompt.text_tokenizer import split_thinking
from .events import AnswerHeard, TurnReport
from .model_events import Ended

__all__ = ["RunningAnswer"]


@dataclass
class RunningAnswer:
    """From the end of the question to the last sound; all times are of one clock."""

    turn: int
    question: NDArray[np.float32]
    asked: float
    """When the user's speech ended."""
    first_sound: float | None = None
    last_sound: float = 0.0
    """Without sound: when its text was complete, or when it was interrupted."""
    text: list[str] = field(default_factory=list)
    ended: Ended | None = None
    heard_samples: int = 0
    """Of its sound, when it was interrupted."""
    underruns: int = 0
    told_slow: bool = False
    """Whether the user knows why it does not sound yet."""

    def heard(self, began: float, *, interrupted: bool, text: str | None = None) -> AnswerHeard:
        """What the user heard of it; `text` where that is not all. `began` is time zero."""
        thinking, said = split_thinking("".join(self.text) if text is None else text)
        start = self.last_sound if self.first_sound is None else self.first_sound
        return AnswerHeard(
            turn=self.turn,
            start=start - began,
            end=self.last_sound - began,
            text=said,
            thinking=thinking,
            interrupted=interrupted,
        )

    def report(self, ended: Ended, resident_bytes: int) -> TurnReport:
        """What it took."""
        stats = ended.stats
        first = None if self.first_sound is None else self.first_sound - self.asked
        return TurnReport(
            turn=self.turn,
            reason=ended.reason,
            first_sound_seconds=first,
            **_rates(stats),
            evaluated_positions=stats.evaluated_positions,
            cached_positions=stats.cached_positions,
            prepared_positions=ended.prepared_positions,
            underruns=self.underruns,
            resident_bytes=resident_bytes,
        )


def _rates(stats: TurnStats) -> dict[str, float | None]:
    """Speeds of a generation, None where nothing was generated."""
    seconds = stats.generation_seconds
    if not seconds:
        return dict.fromkeys(("real_time_factor", "tokens_per_second", "patches_per_second"))
    factor = seconds / stats.audio_seconds if stats.audio_seconds else None
    return {
        "real_time_factor": factor,
        "tokens_per_second": stats.text_tokens / seconds,
        "patches_per_second": stats.patches / seconds if stats.patches else None,
    }
