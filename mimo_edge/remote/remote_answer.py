"""One answer of a server: what came of it so far, and what of that was heard."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..dialogue.model_events import Ended
from ..generation.events import StopReason, TurnStats
from ..generation.heard import beginning
from .server_events import AudioDelta, Usage

__all__ = ["Cut", "RemoteAnswer"]

_LETTER_S, _WIDE_LETTER_S = 0.07, 0.2
"""Seconds to say a letter, and one of a writing with a syllable in each."""


@dataclass
class _Part:
    """The sound of one content part of one item."""

    item: str
    content_index: int
    samples: int = 0


class Cut(NamedTuple):
    """How much of a part of an answer was heard."""

    item: str
    content_index: int
    milliseconds: int
    """0: nothing of it."""


@dataclass
class RemoteAnswer:
    """An answer from its question on."""

    turn: int
    question: NDArray[np.float32]
    question_item: str | None = None
    """The question's name at the server; None: it was not told yet."""
    response: str | None = None
    """The answer's name at the server; None: it has not begun."""
    items: list[str] = field(default_factory=list)
    """Names of its items at the server."""
    ended: Ended | None = None
    """How it ended for the conversation; the server's response may be over only later."""
    heard: int | None = None
    """Samples of its sound that were heard before it was stopped; None: it was not stopped."""
    said: str = ""
    """What they said."""
    unwanted: bool = False
    """Whether question and answer are to be as if they never were."""
    is_retold: bool = False
    """Whether the server knows it only as text, because it came from an earlier session."""
    received: int = 0
    """Samples."""
    _parts: list[_Part] = field(default_factory=list)
    _text: list[tuple[int, str]] = field(default_factory=list)
    """(samples that had come before it, piece of text)."""

    @property
    def text(self) -> str:
        """All that came."""
        return "".join(piece for _, piece in self._text)

    @property
    def begun(self) -> bool:
        """Whether anything of it came."""
        return bool(self.received or self._text)

    def add_text(self, piece: str) -> None:
        """The next piece came."""
        self._text.append((self.received, piece))

    def add_sound(self, delta: AudioDelta, samples: int) -> None:
        """So many more samples came."""
        last = self._parts[-1] if self._parts else None
        if last is None or (last.item, last.content_index) != (delta.item_id, delta.content_index):
            last = _Part(delta.item_id, delta.content_index)
            self._parts.append(last)
        last.samples += samples
        self.received += samples

    def heard_text(self, heard: int, rate: int) -> str:
        """What the first `heard` samples at `rate` Hz said; an estimate.

        As large a part of the text as they are of the sound, up to the last whole word, but
        nothing that came after those samples: text runs ahead of its sound. Of an answer that did
        not come to its end, the sound is taken to be as long as saying the text takes.
        """
        text = self.text.strip()
        if not self.received:
            return text
        whole = self.ended is not None and self.ended.reason != "cancelled"
        expected = self.received if whole else max(self.received, _speaking_s(text) * rate)
        known = "".join(piece for before, piece in self._text if before < heard)
        return min(beginning(text, min(1.0, heard / expected)), known.strip(), key=len)

    def cuts(self, heard: int, rate: int) -> list[Cut]:
        """Where the server is to cut it, so that `heard` samples at `rate` Hz remain."""
        cuts = []
        for part in self._parts:
            if heard < part.samples:
                cuts.append(Cut(part.item, part.content_index, 1000 * heard // rate))
            heard = max(0, heard - part.samples)
        return cuts

    def take_names(self) -> list[str]:
        """What question and answer are called at the server; they will be gone there."""
        names = [*filter(None, [self.question_item]), *self.items]
        self.question_item, self.items = None, []
        return names

    def retold(self, question: str, answer: str) -> None:
        """Another session was told of it under these names, or of nothing if it is unwanted."""
        known = self.ended is not None and not self.unwanted
        self.is_retold, self.response, self._parts = known, None, []
        self.question_item, self.items = (question, [answer]) if known else (None, [])

    def end(self, reason: StopReason, usage: Usage | None, rate: int) -> Ended:
        """Its generation is over: `ended`, which is set with it. Sound came at `rate` Hz.

        Times of generating are unknown here, they stay 0; positions are the server's tokens.
        """
        usage = usage or Usage()
        put, made = usage.input_token_details, usage.output_token_details
        patches = (made.audio_tokens if made else None) or 0
        self.ended = Ended(
            turn=self.turn,
            reason=reason,
            stats=TurnStats(
                prompt_positions=usage.input_tokens or 0,
                cached_positions=(put.cached_tokens if put else None) or 0,
                text_tokens=max(0, (usage.output_tokens or 0) - patches),
                patches=patches,
                prefill_seconds=0.0,
                backbone_seconds=0.0,
                patch_seconds=0.0,
                audio_seconds=self.received / rate,
            ),
        )
        return self.ended


def _speaking_s(text: str) -> float:
    """Seconds that it takes to say the text, about."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return wide * _WIDE_LETTER_S + (len(text) - wide) * _LETTER_S
