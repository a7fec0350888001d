"""From the items of a conversation to the prompt of its next answer."""

from __future__ import annotations

from collections.abc import Sequence
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

__all__ = ["LaidOut", "Plan", "lay_out", "opening"]

Patches = NDArray[np.int64]
"""[patches, group, channels]"""

_NEXT_REQUEST = 128
"""Positions (20 s) that are kept free for a request: if the oldest turn went only when it comes,
all the others would be evaluated after it."""


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


def lay_out(plan: Plan, voice: Patches | None, cache: PromptCache, listener: Listener) -> LaidOut:
    """The prompt, with the patches of its voice; the oldest turns go while there is no room.

    Raises:
        MimoEdgeError: what was said last cannot be heard, or does not fit.
    """
    turns = _exchanges(plan.said, cache, listener)
    while True:
        task = converse(
            turns, plan.reply, system=plan.system, voice=voice, overrides=plan.overrides
        )
        if len(turns) == 1 or cache.has_room_for(task.pieces):
            return LaidOut(task=task, audio_positions=cache.audio_positions(task.pieces))
        turns = turns[1:]


def opening(
    plan: Plan, voice: Patches | None, spoken: Spoken, cache: PromptCache, listener: Listener
) -> list[Piece]:
    """What comes before the next request, whatever that will be, once a plan was answered."""
    turns = _exchanges([*plan.said, OutputAudio(spoken=spoken)], cache, listener)[:-1]
    while True:
        pieces = prompts.until_request(turns, system=plan.system, voice=voice)
        if len(turns) < 2 or cache.has_room_for(pieces, besides=_NEXT_REQUEST):
            return pieces
        turns = turns[1:]


def _exchanges(said: Sequence[Content], cache: PromptCache, listener: Listener) -> list[Exchange]:
    """Requests and answers; the last one has no answer."""
    turns: list[Exchange] = []
    for content in said:
        if isinstance(content, InputAudio | InputText):
            request = _request(content, listener, is_last=content is said[-1])
            if request is not None:
                _add_request(turns, request)
        elif (answer := _answer(content, cache, listener)) is not None:
            if not turns or turns[-1].answer is not None:
                turns.append(Exchange(request=""))  # it began to speak by itself
            turns[-1] = replace(turns[-1], answer=answer)
    if not turns or turns[-1].answer is not None:
        turns.append(Exchange(request=""))
    return turns


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


def _add_request(turns: list[Exchange], request: Patches | str) -> None:
    """What was said before and not answered is part of the same request."""
    before = turns[-1] if turns and turns[-1].answer is None else None
    if before is None:
        turns.append(Exchange(request=request))
    elif isinstance(request, np.ndarray):
        if isinstance(before.request, str):  # a text, and the sound it is about
            turns[-1] = replace(before, request=request, instructions=before.request)
        else:
            turns[-1] = replace(before, request=np.concatenate([before.request, request]))
    elif isinstance(before.request, str):
        turns[-1] = replace(before, request=f"{before.request}\n{request}")
    else:
        question = f"{before.question}\n{request}" if before.question else request
        turns[-1] = replace(before, question=question)


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
