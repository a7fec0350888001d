"""What a server tells, as far as a conversation of this program needs it.

Fields and names are those of OpenAI's Realtime API (GA). A server is not trusted: an event that
lacks what it has to have is refused, unknown events and fields are passed over.
"""

from __future__ import annotations

import base64
import json
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from ..generation.events import StopReason

__all__ = [
    "AudioDelta",
    "Committed",
    "ErrorEvent",
    "OutputItemAdded",
    "ResponseCreated",
    "ResponseDone",
    "ServerEvent",
    "Session",
    "SessionCreated",
    "SessionUpdated",
    "TextDelta",
    "TranscriptionCompleted",
    "TranscriptionFailed",
    "Usage",
    "event_of",
]


class _Format(BaseModel):
    type: str = "audio/pcm"
    rate: int = 24_000


class _Transcription(BaseModel):
    model: str | None = None


class _Input(BaseModel):
    format: _Format = Field(default_factory=_Format)
    transcription: _Transcription | None = None


class _Output(BaseModel):
    format: _Format = Field(default_factory=_Format)
    voice: Any = None
    """A name, or `{"id": …}`."""


class _Audio(BaseModel):
    input: _Input = Field(default_factory=_Input)
    output: _Output = Field(default_factory=_Output)


class Session(BaseModel):
    """How the server will answer; what it leaves out is as the API has it by default."""

    model: str | None = None
    audio: _Audio = Field(default_factory=_Audio)


class SessionCreated(BaseModel):
    """The first event: the server listens."""

    session: Session


class SessionUpdated(BaseModel):
    """What was asked for is how it is now, or what the server made of it."""

    session: Session


class Committed(BaseModel):
    """The sound that was sent is an item of the conversation now."""

    item_id: str


class _Item(BaseModel):
    id: str


class _Problem(BaseModel):
    message: str = "no reason given"
    code: str | None = None
    event_id: str | None = None
    """The client's event that it is about."""


class ErrorEvent(BaseModel):
    """Something that was asked for cannot be done; mostly the session goes on."""

    error: _Problem


class _InputTokens(BaseModel):
    cached_tokens: int | None = None


class _OutputTokens(BaseModel):
    text_tokens: int | None = None
    audio_tokens: int | None = None


class Usage(BaseModel):
    """What a response took, in the server's tokens; what it does not know is None."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    input_token_details: _InputTokens | None = None
    output_token_details: _OutputTokens | None = None


class _Details(BaseModel):
    reason: str | None = None
    error: _Problem | None = None


class _Response(BaseModel):
    id: str
    status: Literal["in_progress", "completed", "cancelled", "incomplete", "failed"] | None = None
    status_details: _Details | None = None
    usage: Usage | None = None

    @property
    def stop_reason(self) -> StopReason:
        """Why an answer that did not fail is over."""
        if self.status == "incomplete" and self._why == "max_output_tokens":
            return "length"
        return "cancelled" if self.status == "cancelled" else "stop"

    @property
    def is_filtered(self) -> bool:
        """Whether the server did not want to say the rest."""
        return self._why == "content_filter"

    @property
    def problem(self) -> str:
        """Why an answer failed, in the server's words."""
        error = None if self.status_details is None else self.status_details.error
        return "it failed." if error is None else error.message

    @property
    def _why(self) -> str | None:
        return None if self.status_details is None else self.status_details.reason


class ResponseCreated(BaseModel):
    """An answer begins."""

    response: _Response


class OutputItemAdded(BaseModel):
    """An answer has an item, in which its sound and text will be."""

    response_id: str
    item: _Item


class AudioDelta(BaseModel):
    """The next sound of an answer."""

    response_id: str
    item_id: str
    content_index: int = 0
    delta: str

    def samples(self) -> NDArray[np.float32]:
        """float32 [n] at the session's rate.

        Raises:
            ValueError: it is not what it should be, 16-bit samples in base64.
        """
        data = base64.b64decode(self.delta, validate=True)
        return np.frombuffer(data, dtype="<i2").astype(np.float32) / np.float32(32768)


class TextDelta(BaseModel):
    """The next piece of an answer's text, or of what its sound says."""

    response_id: str
    delta: str


class ResponseDone(BaseModel):
    """An answer is over, whichever way."""

    response: _Response


class TranscriptionCompleted(BaseModel):
    """What the user said, in words."""

    item_id: str
    transcript: str


class TranscriptionFailed(BaseModel):
    """What the user said could not be written down."""

    item_id: str
    error: _Problem = Field(default_factory=_Problem)


ServerEvent = (
    SessionCreated
    | SessionUpdated
    | Committed
    | ErrorEvent
    | ResponseCreated
    | OutputItemAdded
    | AudioDelta
    | TextDelta
    | ResponseDone
    | TranscriptionCompleted
    | TranscriptionFailed
)

_KINDS: dict[str, type[ServerEvent]] = {
    "session.created": SessionCreated,
    "session.updated": SessionUpdated,
    "input_audio_buffer.committed": Committed,
    "error": ErrorEvent,
    "response.created": ResponseCreated,
    "response.output_item.added": OutputItemAdded,
    "response.output_audio.delta": AudioDelta,
    "response.output_audio_transcript.delta": TextDelta,
    "response.output_text.delta": TextDelta,
    "response.done": ResponseDone,
    "conversation.item.input_audio_transcription.completed": TranscriptionCompleted,
    "conversation.item.input_audio_transcription.failed": TranscriptionFailed,
}


def event_of(message: str | bytes) -> ServerEvent | None:
    """The event in a message; None: one that nobody here needs.

    Raises:
        ValueError: the message is not what it should be.
    """
    try:
        fields = json.loads(message)
    except RecursionError as error:
        raise ValueError("an event is nested too deeply") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("type"), str):
        raise ValueError("an event is an object with a type")
    kind = _KINDS.get(fields["type"])
    return None if kind is None else kind.model_validate(fields)
