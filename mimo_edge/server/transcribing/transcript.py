"""What is said in a recording, part by part as it becomes known."""

from __future__ import annotations

import contextlib
import threading
import zlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...audio.voice_activity import no_voice
from ...errors import MissingPackageError
from ...generation.events import TextDelta, TurnEnd, TurnStats
from ...hearing import Hearing
from ...model import MimoAudio
from ...prompt.positions import AudioPiece
from ...tasks import Overrides, PreparedTask, Transcribe
from ...trained_tasks import knows_chinese

__all__ = ["Segment", "Transcript", "transcribe"]

_TOKENS_A_SECOND = 16
"""More than anybody can say; an answer that goes on beyond it repeats itself."""
_CHINESE = "请将这段语音转换为文字"
"""The instruction that the released models know for Chinese (spec of the prompts)."""
_CHINESE_CODES = ("zh", "zho", "chi", "cmn", "yue", "chinese", "mandarin", "cantonese")


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One part of a recording."""

    begin_s: float
    end_s: float
    """When in the recording."""
    text: str
    """Without blanks around it; may be empty."""
    tokens: tuple[int, ...]
    temperature: float
    avg_logprob: float
    """Mean log-probability of its tokens and of the end behind them."""
    no_speech_prob: float | None
    """How likely it is that nobody speaks in it, by the voice detector; None: there is none."""
    audio_tokens: int
    """Patches of its sound in the prompt."""
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
    segments: Sequence[Segment]
    """Those with text."""
    parts: Sequence[Segment]
    """All."""

    @property
    def text(self) -> str:
        """Without blanks around it."""
        return " ".join(segment.text for segment in self.segments)


def transcribe(
    model: MimoAudio,
    samples: NDArray[np.float32],
    *,
    language: str | None,
    overrides: Overrides,
    cancel: threading.Event,
) -> Generator[str | Segment | Transcript, None, None]:
    """Pieces of the text, each part when it is done, and at last all of it.

    `samples` is a recording, mono float32 [n] at the model's rate. The pieces joined are the text.
    A silent recording has a transcript without a word.

    Raises:
        MimoEdgeError: the recording is too short, or does not fit.
    """
    rate = model.sample_rate
    parts: list[Segment] = []
    if not Hearing.is_silent(samples):
        instruction = _instruction(model, language)
        task = Transcribe(audio=samples, instruction=instruction, overrides=overrides)
        spacing = _Spacing()
        for part in model.parts(task):
            segment = yield from _segment(model, part, spacing, cancel)
            if segment is None:
                break
            parts.append(segment)
            yield segment
    yield Transcript(
        duration_s=len(samples) / rate,
        segments=[segment for segment in parts if segment.text],
        parts=parts,
    )


def _instruction(model: MimoAudio, language: str | None) -> str | None:
    """How to ask for a text in this language; None: as always. Only for Chinese the released
    models know words of their own."""
    code = (language or "").strip().lower().replace("_", "-").partition("-")[0]
    return _CHINESE if code in _CHINESE_CODES and knows_chinese(model.manifest) else None


def _segment(
    model: MimoAudio, part: PreparedTask, spacing: _Spacing, cancel: threading.Event
) -> Generator[str, None, Segment | None]:
    """Pieces of a part's text; then the part, or None if it was cancelled."""
    assert part.part is not None
    seconds = len(part.part.samples) / model.sample_rate
    most = min(part.options.max_new_tokens, 32 + round(_TOKENS_A_SECOND * seconds))
    options = replace(part.options, logprobs=True, max_new_tokens=most)
    text, end = "", None
    spacing.next_part()
    with contextlib.closing(model.stream(replace(part, options=options), cancel=cancel)) as events:
        for event in events:
            if isinstance(event, TextDelta):
                text += event.text
                if piece := spacing.push(event.text):
                    yield piece
            if isinstance(event, TurnEnd):
                end = event
    if end is None or end.reason == "cancelled":
        return None
    logprobs = end.logprobs if end.logprobs is not None and len(end.logprobs) else np.zeros(1)
    return Segment(
        begin_s=part.part.begin_s,
        end_s=part.part.end_s,
        text=text.strip(),
        tokens=tuple(end.text_ids.tolist()),
        temperature=0.0 if options.text.takes_best else options.text.temperature,
        avg_logprob=float(logprobs.mean()),
        no_speech_prob=_no_voice(part.part.samples, model.sample_rate),
        audio_tokens=sum(len(p.patches) for p in part.pieces if isinstance(p, AudioPiece)),
        stats=end.stats,
    )


def _no_voice(samples: NDArray[np.float32], rate: int) -> float | None:
    try:
        return no_voice(samples, rate)
    except MissingPackageError:
        return None


class _Spacing:
    """One blank between the texts of the parts, and none around the whole, in whatever pieces the
    text comes."""

    def __init__(self) -> None:
        self._said = False
        self._held = ""
        """Blanks that belong to the text only if something follows."""

    def next_part(self) -> None:
        """What is pushed from now on belongs to the next part."""
        self._held = " "
        self._begins = True

    def push(self, text: str) -> str:
        """What can be told now."""
        if self._begins:
            text = text.lstrip()
            self._begins = not text
        kept = text.rstrip()
        if not kept:
            self._held += text
            return ""
        told = (self._held if self._said else "") + kept
        if not self._said:
            told = told.lstrip()
        self._said, self._held = True, text[len(kept) :]
        return told
