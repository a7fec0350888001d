"""The answer in progress in a live conversation, and what is told of it when it is over."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..generation.events import TurnStats
from ..prompt.text_tokenizer import split_thinking
from .events import AnswerHeard, Notice, TurnReport
from .model_events import Ended
from .ports import Wait

__all__ = ["RunningAnswer"]


@dataclass
class RunningAnswer:
    """An answer from the end of its question to its last sound; times are of one clock."""

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
    """How many samples of its sound reached the ear before it was interrupted."""
    underruns: int = 0
    told_slow: bool = False
    """Whether the user knows why it does not sound yet."""

    def slow_notice(self, wait: Wait | None) -> Notice | None:
        """Why it does not sound yet where it is made too slowly; only the first time."""
        if wait is None or self.told_slow:
            return None
        self.told_slow = True
        return Notice(
            text=f"{wait.maker} needs {wait.factor:.1f} s for a second of speech; "
            f"the answer waits about {wait.seconds:.0f} s so that it plays without gaps."
        )

    def heard(self, began: float, *, interrupted: bool, text: str | None = None) -> AnswerHeard:
        """The event that the answer is over; times count from `began`.

        `text` is what the user heard, thoughts included; None: all that was generated.
        """
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
        """The event that tells what the turn took."""
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
    """The fields of `TurnReport` that are speeds; None where nothing was generated."""
    seconds = stats.generation_seconds
    if not seconds:
        return dict.fromkeys(("real_time_factor", "tokens_per_second", "patches_per_second"))
    factor = seconds / stats.audio_seconds if stats.audio_seconds else None
    return {
        "real_time_factor": factor,
        "tokens_per_second": stats.text_tokens / seconds,
        "patches_per_second": stats.patches / seconds if stats.patches else None,
    }
