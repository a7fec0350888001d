"""What a running generation tells its caller, in the order it happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["AudioChunk", "Event", "StopReason", "TextDelta", "TurnEnd", "TurnStats"]

StopReason = Literal["stop", "length", "context", "cancelled"]
"""The model ended its turn; max_new_tokens; the context is full; the caller cancelled."""


@dataclass(frozen=True, kw_only=True)
class TextDelta:
    """A piece of the answer's text, as soon as its characters are complete."""

    text: str


@dataclass(frozen=True, kw_only=True)
class AudioChunk:
    """The next samples of the answer: float32 [n], mono, at the bundle's sample rate."""

    samples: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class TurnStats:
    """Counts of positions and times in seconds of one generation."""

    prompt_positions: int
    """Length of the prompt."""
    cached_positions: int
    """How many of them were in the KV cache already."""
    text_tokens: int
    patches: int
    prefill_seconds: float
    backbone_seconds: float
    """Generation steps of the backbone, sampling of text included."""
    patch_seconds: float
    """Patch decoder and patch encoder."""
    audio_seconds: float
    """Length of the speech that was generated."""
    readings: int = 0
    """How often the backbone's weights were read to generate: once for each position, unless ids
    of the text were guessed right."""
    guessing_readings: int = 0
    """Those in which the next ids of the text were guessed."""
    guessed_tokens: int = 0
    accepted_tokens: int = 0
    """Ids that were guessed right: as many readings were saved."""

    @property
    def evaluated_positions(self) -> int:
        """Prompt positions that went through the backbone in this turn."""
        return self.prompt_positions - self.cached_positions

    @property
    def accepted_per_reading(self) -> float:
        """Ids that were guessed right for each reading in which some were guessed; 0 without."""
        return self.accepted_tokens / max(1, self.guessing_readings)

    @property
    def generation_seconds(self) -> float:
        """From the end of the prefill to the last patch or token."""
        return self.backbone_seconds + self.patch_seconds


@dataclass(frozen=True, kw_only=True)
class TurnEnd:
    """The last event of a generation."""

    reason: StopReason
    text_ids: NDArray[np.int32]
    """[positions] what was generated, the empty id where a patch was; without the stop id."""
    codes: NDArray[np.int64]
    """[positions, group, channels] the patches, empty ids where text was."""
    spoken: NDArray[np.bool_]
    """[positions] which of them are patches of the speech."""
    stats: TurnStats
    logprobs: NDArray[np.float64] | None = None
    """[positions] log-probability of each text id, and of the stop id if there was one; None if
    `GenerationOptions.logprobs` did not ask for them."""
    marks: tuple[str, ...] = ()
    """Those of `GenerationOptions.marks` that the text holds, in their order; `text_ids` has
    them, the pieces of text have not."""


Event = TextDelta | AudioChunk | TurnEnd
