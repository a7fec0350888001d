"""An answer as OpenAI tells it: at once, or in chunks."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel

from .answering import Done
from .answers import KeptAnswer

__all__ = ["ChatCompletion", "Telling", "usage_of"]


class PromptDetails(BaseModel):
    """What the prompt was made of, in positions."""

    cached_tokens: int
    """Those that were computed for an earlier request."""
    audio_tokens: int
    """Patches of 160 ms."""
    text_tokens: int


class CompletionDetails(BaseModel):
    """What the answer is made of, in positions."""

    audio_tokens: int
    """Patches of 160 ms."""
    text_tokens: int
    reasoning_tokens: int | None = None


class Usage(BaseModel):
    """What was computed."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails


class SpokenAnswer(BaseModel):
    """The sound of an answer."""

    id: str
    """By it the next request can refer to the answer, until it expires."""
    data: str
    """The file in base64."""
    expires_at: int
    transcript: str


class AnswerMessage(BaseModel):
    """What the model answered."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    """None if it is spoken."""
    reasoning_content: str | None = None
    """What was thought before."""
    refusal: None = None
    audio: SpokenAnswer | None = None


class Choice(BaseModel):
    """The one answer."""

    index: int = 0
    message: AnswerMessage
    finish_reason: Literal["stop", "length"]
    logprobs: None = None


class ChatCompletion(BaseModel):
    """A whole answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    system_fingerprint: str


def usage_of(done: Done) -> Usage:
    """What an answer took."""
    stats = done.stats
    answer = stats.text_tokens + stats.patches
    return Usage(
        prompt_tokens=stats.prompt_positions,
        completion_tokens=answer,
        total_tokens=stats.prompt_positions + answer,
        prompt_tokens_details=PromptDetails(
            cached_tokens=stats.cached_positions,
            audio_tokens=done.heard,
            text_tokens=stats.prompt_positions - done.heard,
        ),
        completion_tokens_details=CompletionDetails(
            audio_tokens=stats.patches,
            text_tokens=stats.text_tokens,
            reasoning_tokens=done.thought,
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Telling:
    """Tells one answer."""

    model: str
    fingerprint: str
    kept: KeptAnswer | None
    """Under which name a spoken answer is kept; None: it is in text."""
    with_usage: bool = False
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, *, said: str, thought: str, sound: bytes, done: Done) -> ChatCompletion:
        """All of it at once."""
        audio = None
        if self.kept is not None and sound:
            audio = SpokenAnswer(
                id=self.kept.id,
                data=base64.b64encode(sound).decode(),
                expires_at=self.kept.expires_at,
                transcript=said,
            )
        message = AnswerMessage(
            content=said if audio is None else None,
            reasoning_content=thought or None,
            audio=audio,
        )
        return ChatCompletion(
            id=self.id,
            created=self.created,
            model=self.model,
            choices=[Choice(message=message, finish_reason=done.reason)],
            usage=usage_of(done),
            system_fingerprint=self.fingerprint,
        )

    def opening(self) -> dict[str, Any]:
        """The first chunk: who speaks."""
        if self.kept is None:
            return self._chunk({"role": "assistant", "content": ""})
        return self._chunk({"role": "assistant", "content": None, "audio": {"id": self.kept.id}})

    def words(self, text: str, *, thought: bool) -> dict[str, Any]:
        """A piece of what is said, or thought."""
        if thought:
            return self._chunk({"reasoning_content": text})
        if self.kept is None:
            return self._chunk({"content": text})
        return self._chunk({"audio": {"id": self.kept.id, "transcript": text}})

    def sound(self, data: bytes) -> dict[str, Any]:
        """A piece of the sound."""
        assert self.kept is not None
        encoded = base64.b64encode(data).decode()
        return self._chunk({"audio": {"id": self.kept.id, "data": encoded}})

    def ending(self, done: Done) -> list[dict[str, Any]]:
        """The last chunks."""
        chunks = []
        if self.kept is not None:
            expiry = {"id": self.kept.id, "expires_at": self.kept.expires_at}
            chunks.append(self._chunk({"audio": expiry}))
        chunks.append(self._chunk({}, done.reason))
        if self.with_usage:
            chunks.append({**self._frame(), "choices": [], "usage": usage_of(done).model_dump()})
        return chunks

    def _chunk(self, delta: Mapping[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
        usage = {"usage": None} if self.with_usage else {}
        return {**self._frame(), "choices": [choice], **usage}

    def _frame(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
        }
