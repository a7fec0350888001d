"""One answer: a conversation is read and continued, words and sound come out; in a thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ...audio import encode_audio
from ...generation.events import AudioChunk, Event, TextDelta, TurnEnd, TurnStats
from ...generation.sound import SoundOptions
from ...model import MimoAudio
from ...prompt.positions import Positions
from ...tasks import Overrides, PreparedTask, converse
from ..sharing.service import Service
from ..speaking.formats import encoder
from ..voices.endpoint import voice_name
from .answers import Answers, KeptAnswer
from .conversations import Conversations
from .parameters import ChatParameters
from .recordings import Recordings
from .turns import MessageReader
from .words import StopWords, ThoughtSplitter, Words

__all__ = ["Answerer", "Done", "Sound"]

_MESSAGES = 10
"""How many times as long as one text all messages of a conversation may be."""
_SMALLEST_TOP_P = 1e-6
"""For 0, with which callers mean: the likeliest only."""


@dataclass(frozen=True)
class Sound:
    """The next bytes of the sound file; all of them, if it is not streamed."""

    data: bytes


@dataclass(frozen=True, kw_only=True)
class Done:
    """The end of an answer."""

    reason: Literal["stop", "length"]
    stats: TurnStats
    heard: int
    """Positions of the prompt that are sound."""
    thought: int | None
    """Text tokens that were thought rather than said; None: nobody knows."""


class Answerer:
    """Makes the answers of one server. For threads."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._answers = Answers()
        self._recordings = Recordings(service.options.limits)
        self._conversations = Conversations()

    def pieces(
        self, asked: ChatParameters, kept: KeptAnswer, left: threading.Event
    ) -> Generator[Words | Sound | Done, None, None]:
        """Words and sound of an answer as they come, then its end. `left` ends it early.

        `kept` is the name under which speech will be known.

        Raises:
            ApiError: a message cannot be used.
            MimoEdgeError: the conversation does not fit the model's context.
        """
        model, stop = self._service.model, _Stop(left)
        task = self._task(model, asked)
        prompt = model.positions(task)
        with self._conversations.borrow(model, prompt) as cache:
            streamed = asked.speaks and asked.stream
            sound = SoundOptions(lookahead=self._service.options.lookahead) if streamed else False
            events = cache.stream(task, cancel=stop, sound=sound)
            with contextlib.closing(events):
                end = yield from (
                    _spoken(events, asked, model.sample_rate)
                    if asked.speaks
                    else _written(events, asked, stop)
                )
        if asked.speaks and end.reason != "cancelled":
            self._answers.keep(kept, Positions(end.text_ids, end.codes))
            if not asked.stream and end.spoken.any():
                yield Sound(_file(end, model, asked))
        empty = model.manifest.special_tokens["<|empty|>"]
        yield Done(
            reason="length" if end.reason in ("length", "context") else "stop",
            stats=end.stats,
            heard=int(np.sum(prompt.text_ids == empty)),
            thought=_thought(end, model) if asked.reply == "thinking" else 0,
        )

    def _task(self, model: MimoAudio, asked: ChatParameters) -> PreparedTask:
        """The conversation as the model gets it."""
        options = self._service.options
        if asked.speaks:
            model.manifest.check_speaks()  # before anything is listened to in vain
        reader = MessageReader(
            model=model,
            recordings=self._recordings,
            answers=self._answers,
            most_characters=_MESSAGES * options.limits.text_characters,
        )
        turns = reader.read(asked.messages)
        voice = None
        if asked.speaks:
            voice = self._service.voices.find(model, voice_name(asked.audio.voice))
        overrides = _overrides(options.overrides, asked)
        return converse(turns, asked.reply, voice=voice, overrides=overrides)


def _spoken(
    events: Iterator[Event], asked: ChatParameters, rate: int
) -> Generator[Words | Sound, None, TurnEnd]:
    """Words and sound of a spoken answer; returns its end."""
    form = asked.audio.format or "pcm16"
    file = encoder("pcm" if form == "pcm16" else form, rate)
    words = ThoughtSplitter(thinks=False)
    for event in events:
        if isinstance(event, TextDelta):
            yield from words.push(event.text)
        elif isinstance(event, AudioChunk):
            if data := file.encode(event.samples):
                yield Sound(data)
        else:
            if asked.stream and event.spoken.any() and (data := file.finish()):
                yield Sound(data)
            return event
    raise RuntimeError("the answer ended without its last event")


def _written(
    events: Iterator[Event], asked: ChatParameters, stop: _Stop
) -> Generator[Words, None, TurnEnd]:
    """Words of an answer in text, up to one of the stop words; returns its end."""
    splitter = ThoughtSplitter(thinks=asked.reply == "thinking")
    stops = StopWords(asked.stops)

    def said(words: list[Words]) -> Iterator[Words]:
        for piece in words:
            text = piece.text if piece.thought else stops.push(piece.text)
            if text:
                yield replace(piece, text=text)

    for event in events:
        if isinstance(event, TextDelta):
            yield from said(splitter.push(event.text))
            if stops.met:
                stop.set()  # ends the answer within one step; its end still comes
        elif isinstance(event, TurnEnd):
            yield from said(splitter.finish(complete=event.reason == "stop"))
            if rest := stops.finish():
                yield Words(rest)
            return event
    raise RuntimeError("the answer ended without its last event")


class _Stop(threading.Event):
    """Set when the answer is to end: by itself, or because its caller left."""

    def __init__(self, left: threading.Event) -> None:
        super().__init__()
        self._left = left

    def is_set(self) -> bool:
        """Whether it is."""
        return super().is_set() or self._left.is_set()


def _overrides(own: Overrides, asked: ChatParameters) -> Overrides:
    """The server's samplers with what the request says differently."""
    top_p = None if asked.top_p is None else max(asked.top_p, _SMALLEST_TOP_P)
    # Of a negative seed, which OpenAI takes, a positive one is made.
    seed = None if asked.seed is None else asked.seed % 2**64
    return replace(
        own,
        temperature=own.temperature if asked.temperature is None else asked.temperature,
        top_p=own.top_p if top_p is None else top_p,
        top_k=own.top_k if asked.top_k is None else asked.top_k,
        max_new_tokens=asked.longest or own.max_new_tokens,
        seed=own.seed if seed is None else seed,
    )


def _file(end: TurnEnd, model: MimoAudio, asked: ChatParameters) -> bytes:
    """The sound of a finished answer, decoded in one go, which sounds a little better."""
    form = asked.audio.format or "wav"
    samples = model.decode(end.codes[end.spoken].reshape(-1, model.manifest.patch.channels))
    if form == "pcm16":
        file = encoder("pcm", model.sample_rate)
        return file.encode(samples) + file.finish()
    return bytes(encode_audio(samples, model.sample_rate, f".{form}"))


def _thought(end: TurnEnd, model: MimoAudio) -> int | None:
    """Tokens up to the end of the thought; a model without a token for that cannot tell."""
    mark = model.manifest.special_tokens.get("</think>")
    if mark is None:
        return None
    found = np.flatnonzero(end.text_ids == mark)
    return int(found[0]) + 1 if len(found) else None
