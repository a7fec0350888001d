"""The model's answers: one in the conversation, some beside it, and transcripts of the user."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..requests.api_errors import ApiError
from .contents import InputAudio, OutputAudio
from .items import Item, Items
from .model_port import (
    Answered,
    Failed,
    ModelEvent,
    ModelPort,
    SoundDelta,
    TextDelta,
    Transcribed,
    TranscriptDelta,
    TranscriptFailed,
)
from .pacing import new_pace
from .plan import Plan
from .response import Reason, Response
from .server_events import Event, event
from .settings import Settings

__all__ = ["OutputSide"]

_MOST_ASIDE = 4
"""Answers beside the conversation that are on their way at once."""
_MOST_UNWRITTEN = 64
"""Turns that wait to be written down: each keeps its sound in memory."""
_OVERSHOOT_MS = 1000.0
"""By which a client may think it played more than it got: it counts by its own clock."""
_GRACE_S = 0.3
"""Time for a client that commits a turn to ask for the answer, before the transcript is begun."""
_TRANSCRIPTION = "conversation.item.input_audio_transcription"


class OutputSide:
    """For the event loop; `now` is seconds of a clock that never goes back."""

    def __init__(
        self,
        items: Items,
        model: ModelPort,
        emit: Callable[[Event], None],
        *,
        rate: int,
        conversation: str,
        add_item: Callable[[Item, str | None], None],
        item_done: Callable[[Item], None],
        first_sound: Callable[[float], None],
    ) -> None:
        """Sound of the model has `rate` Hz, `conversation` is the id of the only one.

        `add_item` puts an item behind the one of an id. `first_sound` is told the seconds from
        the beginning of an answer to its first sound.
        """
        self._items, self._model, self._emit = items, model, emit
        self._rate, self._conversation = rate, conversation
        self._add_item, self._item_done, self._first_sound = add_item, item_done, first_sound
        self._last: Response | None = None
        """The conversation's answer that is on its way, or the last one that was."""
        self._pace = new_pace()
        self._aside: dict[str, Response] = {}
        self._unwritten: list[tuple[Item, str | None]] = []
        """Items whose sound is to be written down."""
        self._write_at = 0.0
        self._writing = 0
        """Items that the model was asked to write down."""

    @property
    def answering(self) -> bool:
        """Whether an answer of the conversation is on its way."""
        return self._last is not None and not self._last.done

    def silent_at(self, now: float) -> float | None:
        """When the last answer will have been played; None: there is none, or it goes on."""
        if self._last is None or not self._last.done:
            return None
        return now + self._last.clock.ahead(now)

    def close(self) -> None:
        """Let go of the answers."""
        self._last = None
        self._aside.clear()
        self._unwritten.clear()

    def begin(
        self,
        settings: Settings,
        plan: Plan,
        now: float,
        *,
        aside: bool,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Answer.

        Raises:
            ApiError: an answer is on its way already, or too many beside the conversation.
        """
        if not aside and self.answering:
            assert self._last is not None
            raise ApiError(
                400,
                f"the answer {self._last.id} is on its way; wait for its response.done, or cancel "
                "it.",
                code="conversation_already_has_active_response",
            )
        if aside and len(self._aside) >= _MOST_ASIDE:
            raise ApiError(
                429,
                f"{_MOST_ASIDE} answers beside the conversation are on their way; wait for one.",
                code="too_many_responses",
            )
        # What is said while it is made comes behind it.
        last = self._items.last_id or "root"
        response = Response(
            settings,
            self._rate,
            new_pace() if aside else self._pace,
            self._emit,
            conversation=None if aside else self._conversation,
            metadata=metadata,
            add_item=lambda item: None if aside else self._add_item(item, last),
            item_done=lambda item: None if aside else self._item_done(item),
            first_sound=lambda then: self._first_sound(then - now),
        )
        if aside:
            self._aside[response.id] = response
        else:
            self._last = response
        self._model.answer(response.id, plan, response.spoken, aside=aside)

    def cancel(self, response_id: str | None, now: float) -> None:
        """The client wants no more of an answer.

        Raises:
            ApiError: there is none.
        """
        response = self._last if self.answering else None
        if response_id is not None and (response is None or response.id != response_id):
            response = self._aside.pop(response_id, None)
        if response is None:
            which = f"{response_id[:80]} " if response_id else ""
            raise ApiError(
                400,
                f"there is no answer {which}on its way that could be cancelled.",
                code="response_cancel_not_active",
            )
        self._stop(response, "client_cancelled", now)

    def interrupt(self, now: float) -> None:
        """The user speaks: the answer is over, and what was not heard of it never was."""
        if self._last is None:
            return
        if not self._last.done:
            self._stop(self._last, "turn_detected", now)
        elif self._last.clock.ahead(now):  # all of it was sent, but not played
            self._last.stop_playing(now)

    def truncate(self, item_id: str, audio_end_ms: float) -> int:
        """The client says what was heard of an item; how many milliseconds that is, at most all.

        Raises:
            ApiError: there is no such item, it is none that the model said here, or was never so
                long.
        """
        content = next(iter(self._items.get(item_id).contents), None)
        # Of what was said elsewhere, nobody knows which words were heard with its beginning.
        if not isinstance(content, OutputAudio) or content.spoken is None:
            raise ApiError(
                400,
                f"item_id: {item_id[:80]!r} is nothing that the model said here, and only that can "
                "be truncated; delete the item and create one of what was heard.",
                code="invalid_value",
                param="item_id",
            )
        if audio_end_ms > content.sent_ms + _OVERSHOOT_MS:
            raise ApiError(
                400,
                f"audio_end_ms: {audio_end_ms:.0f} ms cannot have been heard of "
                f"{content.sent_ms:.0f} ms of sound; give at most that.",
                code="invalid_value",
                param="audio_end_ms",
            )
        content.cut(int(audio_end_ms * content.client_rate / 1000), self._rate)
        return int(min(audio_end_ms, content.sent_ms))

    def write_down(self, item: Item, now: float, *, language: str | None, at_once: bool) -> None:
        """Tell the client what the user said, but rather later than delay the answer to it.

        `language`: what is spoken, if the client says so. `at_once`: unless an answer is on its
        way, nothing is waited for.
        """
        if len(self._unwritten) + self._writing >= _MOST_UNWRITTEN:
            sentence = f"{_MOST_UNWRITTEN} turns wait to be written down already; wait for some."
            error = ApiError(429, sentence, code="too_many_transcripts")
            self._transcript(TranscriptFailed(item=item.id, error=error))
            return
        self._unwritten.append((item, language))
        self._write_at = now if at_once else now + _GRACE_S

    def model_event(self, told: ModelEvent, now: float) -> None:
        """What the model did. Of an answer that is over, nothing is passed on."""
        if isinstance(told, TranscriptDelta | Transcribed | TranscriptFailed):
            self._writing -= not isinstance(told, TranscriptDelta)
            self._transcript(told)
            return
        response = self._aside.get(told.response, self._last)
        if response is None or response.id != told.response or response.done:
            return
        if isinstance(told, TextDelta):
            response.text(told.text)
        elif isinstance(told, SoundDelta):
            response.sound(told.samples, now)
        elif isinstance(told, Answered):
            response.answered(told, now)
        elif isinstance(told, Failed):
            response.fail(told.error)
        if response.in_conversation:
            self._begin_writing()
        elif response.done:
            del self._aside[response.id]

    def tick(self, now: float) -> None:
        """Do what is due."""
        if self._last is not None:
            self._last.release(now)
        for response in [*self._aside.values()]:
            response.release(now)
            if response.done:
                del self._aside[response.id]
        if self._unwritten and now >= self._write_at and not self.answering:
            self._begin_writing()

    def due(self, now: float) -> float | None:
        """When to call `tick` at the latest; None: not until something else happens."""
        times = [
            time
            for response in (self._last, *self._aside.values())
            if response is not None and (time := response.next_release(now)) is not None
        ]
        if self._unwritten and not self.answering:
            times.append(self._write_at)
        return min(times, default=None)

    def _stop(self, response: Response, reason: Reason, now: float) -> None:
        self._model.stop(response.id)
        response.cancel(reason, now)

    def _begin_writing(self) -> None:
        for item, language in self._unwritten:
            for content in item.contents:
                if isinstance(content, InputAudio):
                    self._writing += 1
                    self._model.transcribe(item.id, content, language)
        self._unwritten.clear()

    def _transcript(self, told: TranscriptDelta | Transcribed | TranscriptFailed) -> None:
        place = {"item_id": told.item, "content_index": 0}
        if isinstance(told, TranscriptDelta):
            self._emit(event(f"{_TRANSCRIPTION}.delta", {**place, "delta": told.text}))
        elif isinstance(told, TranscriptFailed):
            body = told.error.body
            self._emit(event(f"{_TRANSCRIPTION}.failed", {**place, "error": body}))
        else:
            self._keep_transcript(told)
            usage = {"type": "duration", "seconds": told.seconds}
            completed = {**place, "transcript": told.text, "usage": usage}
            self._emit(event(f"{_TRANSCRIPTION}.completed", completed))

    def _keep_transcript(self, told: Transcribed) -> None:
        for item in self._items:
            if item.id == told.item:
                for content in item.contents:
                    if isinstance(content, InputAudio):
                        content.transcript = told.text
