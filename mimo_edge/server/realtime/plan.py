"""From the items of a conversation to the prompt of its next answer."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...errors import MimoEdgeError
from ...listener import Listener
from ...prompt import prompts
from ...prompt.positions import InterleavedPiece, Piece, Positions
from ...prompt.prompts import Exchange, Reply
from ...prompt_cache import PromptCache
from ...tasks import Overrides, PreparedTask, converse
from .contents import Content, InputAudio, InputText, OutputAudio, OutputText, Spoken

__all__ = ["LaidOut", "Plan", "Prompter"]

Patches = NDArray[np.int64]
"""[patches, group, channels]"""

_NEXT_REQUEST = 128
"""Positions (20 s) that are kept free for a request: if the oldest turn went only when it comes,
all the others would be evaluated after it."""

_NEVER = threading.Event()
"""Cancels nothing."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What an answer is to be made of. Sound in it may not be encoded yet."""

    said: tuple[Content, ...]
    """What both sides said, from the first to the last."""
    reply: Reply
    system: str | None
    voice: str | None = None
    """The identifier of a voice of the library; None: the model's own."""
    overrides: Overrides


@dataclass(frozen=True, kw_only=True)
class LaidOut:
    """A prompt, and how much of it is sound."""

    task: PreparedTask
    audio_positions: int


@dataclass(frozen=True)
class _Turn:
    first: Content | None
    """What it begins with."""
    exchange: Exchange


class Prompter:
    """Lays out prompts for one cache.

    Turns that once went for want of room stay away: if one came back because the next prompt is
    shorter, everything behind it would have to be evaluated again.
    """

    def __init__(self, cache: PromptCache, listener: Listener) -> None:
        self._cache, self._listener = cache, listener
        self._oldest: Content | None = None
        """The first thing that was said and not forgotten."""

    def lay_out(
        self, plan: Plan, voice: Patches | None, cancel: threading.Event = _NEVER
    ) -> LaidOut:
        """The prompt, with the patches of its voice; once `cancel` is set, some of it.

        Raises:
            MimoEdgeError: what was said last cannot be heard, or does not fit.
        """

        def task(turns: Sequence[_Turn]) -> PreparedTask:
            exchanges = [turn.exchange for turn in turns]
            return converse(
                exchanges, plan.reply, system=plan.system, voice=voice, overrides=plan.overrides
            )

        turns = self._turns(plan.said, cancel)
        kept = task(self._fitting(turns, lambda some: task(some).pieces, cancel))
        return LaidOut(task=kept, audio_positions=self._cache.audio_positions(kept.pieces))

    def opening(
        self,
        plan: Plan,
        voice: Patches | None,
        spoken: Spoken,
        cancel: threading.Event = _NEVER,
    ) -> Sequence[Piece]:
        """What comes before the next request, whatever that will be, once a plan was answered."""

        def pieces(turns: Sequence[_Turn]) -> Sequence[Piece]:
            exchanges = [turn.exchange for turn in turns]
            return prompts.until_request(exchanges, system=plan.system, voice=voice)

        turns = self._turns([*plan.said, OutputAudio(spoken=spoken)], cancel)[:-1]
        return pieces(self._fitting(turns, pieces, cancel, besides=_NEXT_REQUEST))

    def _fitting(
        self,
        turns: Sequence[_Turn],
        pieces: Callable[[Sequence[_Turn]], Sequence[Piece]],
        cancel: threading.Event,
        besides: int = 0,
    ) -> Sequence[_Turn]:
        """The turns without the oldest ones, as few as can be, for which there is no room."""

        def fits(first: int) -> bool:
            if cancel.is_set():
                return False
            return self._cache.has_room_for(pieces(turns[first:]), besides=besides)

        if len(turns) < 2 or fits(0):
            return turns
        # All of the prompt is tokenized to know its length: one turn less each time takes minutes.
        first = bisect_left(range(len(turns) - 1), True, lo=1, key=fits)
        if not cancel.is_set():
            self._oldest = turns[first].first
        return turns[first:]

    def _turns(self, said: Sequence[Content], cancel: threading.Event) -> list[_Turn]:
        """Requests and answers; the last one has no answer."""
        oldest = [index for index, content in enumerate(said) if content is self._oldest]
        turns: list[_Turn] = []
        for content in said[oldest[0] if oldest else 0 :]:
            if cancel.is_set():  # sound may have to be encoded, which takes its time
                break
            exchange = turns[-1].exchange if turns else None
            open_turn = exchange if exchange is not None and exchange.answer is None else None
            after = self._said(open_turn, content, is_last=content is said[-1])
            if after is None:
                continue
            if open_turn is None:
                turns.append(_Turn(content, after))
            else:
                turns[-1] = _Turn(turns[-1].first, after)
        if not turns or turns[-1].exchange.answer is not None:
            turns.append(_Turn(None, Exchange(request="")))
        return turns

    def _said(self, turn: Exchange | None, content: Content, *, is_last: bool) -> Exchange | None:
        """A turn without an answer, if there is one, with what was said next; None: nothing was."""
        if isinstance(content, InputAudio | InputText):
            request = _request(content, self._listener, is_last=is_last)
            return None if request is None else _with_request(turn, request)
        answer = _answer(content, self._cache, self._listener)
        if answer is None:
            return None
        # Without a turn before it, the model began to speak by itself.
        return replace(turn or Exchange(request=""), answer=answer)


def _request(
    content: InputAudio | InputText, listener: Listener, *, is_last: bool
) -> Patches | str | None:
    if isinstance(content, InputText):
        return content.text
    if content.utterance is None:
        return None
    try:
        return content.utterance.patches(listener)
    except MimoEdgeError:
        if is_last:
            raise
        return None  # its own answer has told it


def _with_request(before: Exchange | None, request: Patches | str) -> Exchange:
    """What was said before and not answered is part of the same request."""
    if before is None:
        return Exchange(request=request)
    if isinstance(request, np.ndarray):
        if isinstance(before.request, str):  # a text, and the sound it is about
            return replace(before, request=request, instructions=before.request)
        return replace(before, request=np.concatenate([before.request, request]))
    if isinstance(before.request, str):
        return replace(before, request=f"{before.request}\n{request}")
    return replace(before, question=f"{before.question}\n{request}" if before.question else request)


def _answer(
    content: OutputAudio | OutputText, cache: PromptCache, listener: Listener
) -> str | Positions | InterleavedPiece | None:
    """An answer as far as it was heard; None: nothing of it was."""
    if isinstance(content, OutputText):
        return content.text or None
    if content.spoken is None:
        return _said_elsewhere(content, listener)
    end = content.spoken.end
    if end is None or not len(end.text_ids):
        return None
    answer = Positions(end.text_ids, end.codes)
    if content.spoken.heard is None:
        return answer
    heard = cache.heard(answer, content.spoken.heard, finished=end.reason == "stop")
    return heard.positions if heard.patches or heard.complete else None


def _said_elsewhere(content: OutputAudio, listener: Listener) -> str | InterleavedPiece | None:
    if content.transcript and content.utterance is not None:
        try:
            return InterleavedPiece(content.transcript, content.utterance.patches(listener))
        except MimoEdgeError:
            pass
    return content.transcript or None
