"""A recording becomes segments, part by part."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ..audio import SurveyedSound
from ..audio.voice_activity import no_voice
from ..errors import MissingPackageError
from ..generation.events import TextDelta, TurnEnd
from ..hearing import HeardPart
from ..model import MimoAudio
from ..prompt.positions import AudioPiece
from ..prompt.prompts import LANGUAGE_TAGS
from ..tasks import LONGEST_TRANSCRIPT_S, PreparedTask, Transcribe
from .segments import Segment, Transcript
from .side_by_side import in_order
from .spacing import Spacing

__all__ = ["AUTOMATIC", "positions_for", "transcript_of", "write_down"]

AUTOMATIC = 4
"""Parts that are answered at once where nobody says how many: each reading of the weights then
gives a token to each of them, and more would hardly be faster."""
_TOKENS_A_SECOND = 16
"""More than anybody can say; an answer that goes on beyond it repeats itself."""
_TOKENS_BESIDE = 32
_PATCHES_A_SECOND = 6.25
_PROMPT = 32
"""Positions around the sound, about."""
_LANGUAGES = {tag: language for language, tag in LANGUAGE_TAGS.items()}


def positions_for(at_once: int) -> int:
    """Positions that so many parts have in the cache together, at most."""
    answer = _TOKENS_BESIDE + _TOKENS_A_SECOND * LONGEST_TRANSCRIPT_S
    return round(at_once * (_PROMPT + _PATCHES_A_SECOND * LONGEST_TRANSCRIPT_S + answer))


def write_down(
    model: MimoAudio,
    task: Transcribe,
    recording: SurveyedSound,
    *,
    at_once: int = 1,
    known: Mapping[int, Segment] = MappingProxyType({}),
    finished: Callable[[Segment], None] | None = None,
    voices: bool = False,
    cancel: threading.Event | None = None,
) -> Generator[str | Segment, None, None]:
    """Pieces of the text, and each part when it is done; the pieces joined are the text.

    `recording` is the task's, opened by `model.recording`. Of its parts, `at_once` are answered at
    a time, and told in their order. `known` are those that were done before, by their numbers;
    `finished` is called with each other one as soon as it is done, maybe in another thread. With
    `voices` each part is looked at by the voice detector. What is cancelled ends within one step,
    without the parts that were not done.

    Raises:
        MimoEdgeError: the recording cannot be read any more, or a part does not fit.
    """
    cancel = cancel or threading.Event()
    telling = threading.Lock()

    def work(job: tuple[int, HeardPart], ended: threading.Event) -> Iterator[str | Segment]:
        number, heard = job
        segment = known.get(number)
        if segment is not None and (segment.begin_s, segment.end_s) == (
            heard.begin_s,
            heard.end_s,
        ):
            yield segment.text
            yield segment
            return
        prepared = model.prepare(task, heard)
        segment = yield from _segment(model, prepared, number, task, ended, voices=voices)
        if segment is not None:
            if finished is not None:
                with telling:
                    finished(segment)
            yield segment

    spacing = Spacing()
    expected = 0
    jobs = enumerate(model.heard_parts(recording))
    with contextlib.closing(in_order(jobs, work, at_once=at_once, cancel=cancel)) as items:
        for item in items:
            if isinstance(item, str):
                if piece := spacing.push(item):
                    yield piece
                continue
            if item.number != expected:  # the one before it was cancelled
                return
            expected += 1
            spacing.next_part()
            yield item


def transcript_of(
    model: MimoAudio, task: Transcribe, *, at_once: int = 1, cancel: threading.Event | None = None
) -> Transcript:
    """A whole recording, written down; see `write_down`.

    Raises:
        MimoEdgeError: it cannot be read, is silent, or the model does not know the language.
    """
    with model.recording(task.audio) as recording:
        items = write_down(model, task, recording, at_once=at_once, cancel=cancel)
        parts = [item for item in items if isinstance(item, Segment)]
        return Transcript(duration_s=recording.seconds, parts=parts)


def _segment(
    model: MimoAudio,
    part: PreparedTask,
    number: int,
    task: Transcribe,
    cancel: threading.Event,
    *,
    voices: bool,
) -> Generator[str, None, Segment | None]:
    """Pieces of a part's text; then the part, or None if it was cancelled."""
    assert part.part is not None
    seconds = len(part.part.samples) / model.sample_rate
    most = min(part.options.max_new_tokens, _TOKENS_BESIDE + round(_TOKENS_A_SECOND * seconds))
    options = replace(part.options, logprobs=True, max_new_tokens=most)
    text, end = "", None
    with contextlib.closing(model.stream(replace(part, options=options), cancel=cancel)) as events:
        for event in events:
            if isinstance(event, TextDelta):
                text += event.text
                yield event.text
            if isinstance(event, TurnEnd):
                end = event
    if end is None or end.reason == "cancelled":
        return None
    logprobs = end.logprobs if end.logprobs is not None and len(end.logprobs) else np.zeros(1)
    told = _LANGUAGES[end.marks[0]] if end.marks else task.language
    return Segment(
        number=number,
        begin_s=part.part.begin_s,
        end_s=part.part.end_s,
        text=text.strip(),
        language=None if told == "auto" else told,
        tokens=tuple(end.text_ids.tolist()),
        temperature=0.0 if options.text.takes_best else options.text.temperature,
        avg_logprob=float(logprobs.mean()),
        no_speech_prob=_no_voice(part.part.samples, model.sample_rate) if voices else None,
        audio_tokens=sum(len(p.patches) for p in part.pieces if isinstance(p, AudioPiece)),
        reason=end.reason,
        stats=end.stats,
    )


def _no_voice(samples: NDArray[np.float32], rate: int) -> float | None:
    try:
        return no_voice(samples, rate)
    except MissingPackageError:
        return None
