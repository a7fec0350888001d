"""A finished answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .audio import write_audio
from .errors import BadInputError
from .generation.events import StopReason, TurnEnd, TurnStats

__all__ = ["Answer", "OnSound", "OnText", "add_stats", "first_cut", "join_answers", "join_ends"]

OnText = Callable[[str], None]
"""Called with each piece of text as it is generated."""

OnSound = Callable[[NDArray[np.float32]], None]
"""Called with each piece of speech, float32 [n] at the model's rate, as it is generated."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the model answered, once it is complete."""

    text: str
    """Without surrounding blanks and without the thinking."""
    thinking: str
    """What was thought aloud before it; empty if nothing was."""
    audio: NDArray[np.float32] | None
    """[samples], mono; None if the answer holds no speech."""
    sample_rate: int
    """Hz, of `audio`."""
    codes: NDArray[np.int64]
    """[steps, channels], what `audio` was decoded from."""
    reason: StopReason
    stats: TurnStats

    def save(self, path: str | Path) -> None:
        """Write the speech as WAV, FLAC, MP3, OGG or Opus, by the file's name.

        Raises:
            MimoEdgeError: the answer holds no speech, the ending of the name is unknown, or the
                file cannot be written.
        """
        if self.audio is None:
            raise BadInputError(
                f"the answer holds no speech ({self.text!r}), so {path} was not written."
            )
        write_audio(Path(path), self.audio, self.sample_rate)


def join_answers(answers: Sequence[Answer]) -> Answer:
    """One answer of the answers to the parts of a recording: counts and times add up."""
    return replace(
        answers[-1],
        text=" ".join(answer.text for answer in answers if answer.text),
        reason=first_cut([answer.reason for answer in answers]),
        stats=add_stats([answer.stats for answer in answers]),
    )


def join_ends(ends: Sequence[TurnEnd]) -> TurnEnd:
    """One last event of those of the parts of a recording."""
    return TurnEnd(
        reason=first_cut([end.reason for end in ends]),
        text_ids=np.concatenate([end.text_ids for end in ends]),
        codes=np.concatenate([end.codes for end in ends]),
        spoken=np.concatenate([end.spoken for end in ends]),
        stats=add_stats([end.stats for end in ends]),
        logprobs=_join_logprobs(ends),
        marks=tuple(mark for end in ends for mark in end.marks),
    )


def _join_logprobs(ends: Sequence[TurnEnd]) -> NDArray[np.float64] | None:
    known = [end.logprobs for end in ends if end.logprobs is not None]
    return np.concatenate(known) if known else None


def add_stats(parts: Sequence[TurnStats]) -> TurnStats:
    """Counts and times of several generations together."""
    return TurnStats(
        **{
            field.name: sum(getattr(stats, field.name) for stats in parts)
            for field in fields(TurnStats)
        }
    )


def first_cut(reasons: Sequence[StopReason]) -> StopReason:
    """Why several answers ended, as one reason: the first that is not their own end."""
    return next((reason for reason in reasons if reason != "stop"), "stop")
