"""What is said in the parts of a recording, and in all of it."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..answer import add_stats, first_cut
from ..generation.events import StopReason, TurnStats
from .spacing import joined

__all__ = ["Segment", "Transcript"]


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One part of a recording."""

    number: int
    """Of the part, from 0."""
    begin_s: float
    end_s: float
    """When in the recording."""
    text: str
    """Without blanks around it; may be empty."""
    language: str | None = None
    """`en` or `zh` if the model was told or tells; None: it does not."""
    tokens: tuple[int, ...]
    temperature: float
    avg_logprob: float
    """Mean log-probability of its tokens and of the end behind them."""
    no_speech_prob: float | None
    """How likely it is that nobody speaks in it, by the voice detector; None: it was not asked, or
    there is none."""
    audio_tokens: int
    """Patches of its sound in the prompt."""
    reason: StopReason = "stop"
    stats: TurnStats

    @property
    def compression_ratio(self) -> float:
        """How well the text compresses; much above 2 it repeats itself."""
        data = self.text.encode()
        return len(data) / len(zlib.compress(data)) if data else 0.0


@dataclass(frozen=True, kw_only=True)
class Transcript:
    """A whole recording."""

    duration_s: float
    parts: Sequence[Segment]
    """All, in their order."""

    @property
    def segments(self) -> Sequence[Segment]:
        """Those with text."""
        return [part for part in self.parts if part.text]

    @property
    def text(self) -> str:
        """Without blanks around it."""
        return joined([segment.text for segment in self.segments])

    @property
    def language(self) -> str | None:
        """The one that most of it is in, as far as the model tells."""
        known = Counter(part.language for part in self.segments if part.language)
        return known.most_common(1)[0][0] if known else None

    @property
    def reason(self) -> StopReason:
        """Why it ended, or a part of it before its own end."""
        return first_cut([part.reason for part in self.parts])

    @property
    def stats(self) -> TurnStats:
        """Counts and times of all parts together."""
        return add_stats([part.stats for part in self.parts])
