"""One answer on its way to the client: its item, its events, and its sound at the right pace."""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...dialogue.pace import Pace
from ..requests.api_errors import ApiError
from .contents import OutputAudio, OutputText, Spoken
from .items import Item
from .model_port import Answered
from .pacing import DELTA_S, PlaybackClock, has_to_wait
from .pcm import PcmWriter
from .server_events import Event, event, new_id
from .settings import Settings

__all__ = ["Reason", "Response"]

Reason = Literal["turn_detected", "client_cancelled", "max_output_tokens"]
"""Why an answer is not complete."""

_AUDIO, _WORDS, _TEXT = (
    "response.output_audio",
    "response.output_audio_transcript",
    "response.output_text",
)


class Response:
    """From `response.created` to `response.done`. For the event loop."""

    def __init__(
        self,
        settings: Settings,
        rate: int,
        pace: Pace,
        emit: Callable[[Event], None],
        *,
        conversation: str | None,
        metadata: Mapping[str, Any] | None = None,
        add_item: Callable[[Item], None],
        item_done: Callable[[Item], None],
        first_sound: Callable[[float], None],
    ) -> None:
        """Sound of the model has `rate` Hz; `pace` knows how fast earlier answers were made.

        `conversation` is the conversation's id, None beside it.
        `add_item` is called with the answer's item before there is anything in it, `item_done`
        once it is complete, `first_sound` with the time of the first sound that is sent.
        """
        self.id = new_id("resp")
        self.item = Item(id=new_id("item"), role="assistant", status="in_progress")
        self.spoken = Spoken()
        self.settings = settings
        self.begun = False
        """Whether anything of it was sent."""
        self.status: str = "in_progress"
        self._rate, self._emit = rate, emit
        self._add_item, self._item_done, self._first_sound = add_item, item_done, first_sound
        self._conversation, self._metadata = conversation, metadata
        self._content: OutputAudio | OutputText = OutputText()
        if settings.speaks:
            self._content = OutputAudio(spoken=self.spoken, client_rate=settings.output_rate)
        self._words: list[str] = []
        self.clock = PlaybackClock(settings.output_rate)
        self._writer = PcmWriter(rate, settings.output_rate)
        self._waiting: deque[NDArray[np.int16]] = deque()
        """Sound in the size of its events, for later."""
        self._waiting_s = 0.0
        """How long that is."""
        self._pace = pace
        pace.begin()
        self._answered: Answered | None = None
        self._status_details: dict[str, Any] | None = None
        self._emit(event("response.created", {"response": self.shown()}))

    @property
    def in_conversation(self) -> bool:
        """Whether it is the conversation's next answer, other than one beside it."""
        return self._conversation is not None

    @property
    def done(self) -> bool:
        """Whether `response.done` was sent."""
        return self.status != "in_progress"

    def text(self, text: str) -> None:
        """The model made a piece of the words."""
        self._begin()
        self._words.append(text)
        if isinstance(self._content, OutputText):
            self._content.text += text
            self._delta(_TEXT, text)
        else:
            self._content.transcript = "".join(self._words)
            self._delta(_WORDS, text)

    def sound(self, samples: NDArray[np.float32], now: float) -> None:
        """The model made a piece of the sound: float32 [n] at its rate."""
        self._pace.arrived(len(samples) / self._rate, now)
        self._wait(self._writer.write(samples))
        self.release(now)

    def answered(self, answered: Answered, now: float) -> None:
        """The model is done. What it made may still have to be sent."""
        self._answered = answered
        self._pace.finish()
        self._wait(self._writer.finish())
        self.release(now)

    def release(self, now: float) -> None:
        """Send the sound whose time has come, and the end behind all of it."""
        if self._holds_back():
            return
        while self._waiting and self.clock.next_at(len(self._waiting[0]), now) <= now:
            self._send(self._waiting.popleft(), now)
        if not self._waiting and self._answered is not None and not self.done:
            reason = self._answered.end.reason
            if reason == "stop":
                self._finish("completed")
            elif reason == "cancelled":
                self._finish("cancelled", reason="client_cancelled")
            else:  # the length that was asked for, or the context
                self._finish("incomplete", reason="max_output_tokens")

    def next_release(self, now: float) -> float | None:
        """When to call `release` again; None: not before there is more."""
        if self.done or not self._waiting or self._holds_back():
            return None
        return self.clock.next_at(len(self._waiting[0]), now)

    def cancel(self, reason: Reason, now: float) -> None:
        """End it here; the model remembers of it what was heard until now."""
        self._waiting.clear()
        self._pace.stop()
        self._finish("cancelled", reason=reason)
        self.stop_playing(now)

    def fail(self, error: ApiError) -> None:
        """It cannot be made."""
        self._waiting.clear()
        details = {"type": error.type, "code": error.code, "message": error.message}
        self._finish("failed", error=details)

    def stop_playing(self, now: float) -> None:
        """The user spoke, or the client gave up: what was not played until now was not heard.

        Unless the client has told what it played, which is more certain.
        """
        content = self._content
        if isinstance(content, OutputAudio) and content.heard_samples is None:
            content.cut(self.clock.played(now), self._rate)

    def shown(self) -> Event:
        """The answer as a client sees it."""
        modalities = self.settings.output_modalities
        return {
            "id": self.id,
            "object": "realtime.response",
            "status": self.status,
            "status_details": self._status_details,
            "output": [self.item.shown()] if self.begun else [],
            "conversation_id": self._conversation,
            "output_modalities": modalities,
            "max_output_tokens": self.settings.max_output_tokens,
            "audio": {
                "output": {
                    "format": {"type": "audio/pcm", "rate": self.settings.output_rate},
                    "voice": self.settings.voice or "default",
                }
            },
            "metadata": self._metadata,
            "usage": self._usage(),
        }

    def _begin(self) -> None:
        if self.begun:
            return
        self.begun = True
        self._emit(self._output_item("response.output_item.added"))
        self._add_item(self.item)
        self.item.contents.append(self._content)
        self._emit(self._at("response.content_part.added", {"part": self._part()}))

    def _finish(
        self,
        status: Literal["completed", "cancelled", "incomplete", "failed"],
        *,
        reason: Reason | None = None,
        error: Mapping[str, Any] | None = None,
    ) -> None:
        self.item.status = "completed" if status == "completed" else "incomplete"
        if self.begun:
            self._finish_item()
        self.status = status
        if status != "completed":
            self._status_details = {"type": status, "reason": reason, "error": error}
        self._emit(event("response.done", {"response": self.shown()}))

    def _finish_item(self) -> None:
        words = "".join(self._words)
        if isinstance(self._content, OutputText):
            self._emit(self._at(f"{_TEXT}.done", {"text": words}))
        else:
            self._emit(self._at(f"{_AUDIO}.done"))
            self._emit(self._at(f"{_WORDS}.done", {"transcript": words}))
        self._emit(self._at("response.content_part.done", {"part": self._part()}))
        self._emit(self._output_item("response.output_item.done"))
        self._item_done(self.item)

    def _wait(self, pcm: NDArray[np.int16]) -> None:
        size = int(DELTA_S * self.settings.output_rate)
        self._waiting.extend(pcm[start : start + size] for start in range(0, len(pcm), size))
        self._waiting_s += len(pcm) / self.settings.output_rate

    def _holds_back(self) -> bool:
        """Whether the answer begins later, so that it has no gaps."""
        begun = self.clock.sent or self._answered is not None
        return not begun and has_to_wait(self._pace, self._waiting_s)

    def _send(self, pcm: NDArray[np.int16], now: float) -> None:
        self._begin()
        assert isinstance(self._content, OutputAudio)
        if not self.clock.sent:
            self._first_sound(now)
        self._content.send(pcm)
        self.clock.send(len(pcm), now)
        self._delta(_AUDIO, base64.b64encode(pcm.tobytes()).decode())

    def _delta(self, kind: str, delta: str) -> None:
        self._emit(self._at(f"{kind}.delta", {"delta": delta}))

    def _at(self, kind: str, fields: Mapping[str, Any] | None = None) -> Event:
        place = {
            "response_id": self.id,
            "item_id": self.item.id,
            "output_index": 0,
            "content_index": 0,
        }
        return event(kind, {**place, **(fields or {})})

    def _output_item(self, kind: str) -> Event:
        place = {"response_id": self.id, "output_index": 0}
        return event(kind, {**place, "item": self.item.shown()})

    def _part(self) -> Event:
        if isinstance(self._content, OutputText):
            return {"type": "text", "text": self._content.text}
        return {"type": "audio", "transcript": self._content.transcript}

    def _usage(self) -> dict[str, Any] | None:
        """Tokens: a position is one, of text or of 160 ms of sound. None before the end."""
        if self._answered is None:
            return None
        stats, sound = self._answered.end.stats, self._answered.audio_positions
        generated = stats.text_tokens + stats.patches
        return {
            "total_tokens": stats.prompt_positions + generated,
            "input_tokens": stats.prompt_positions,
            "output_tokens": generated,
            "input_token_details": {
                "text_tokens": stats.prompt_positions - sound,
                "audio_tokens": sound,
                "cached_tokens": stats.cached_positions,
            },
            "output_token_details": {
                "text_tokens": stats.text_tokens,
                "audio_tokens": stats.patches,
            },
        }
