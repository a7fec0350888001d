"""What events hold that this server uses, checked; the library would take any type for any."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from wyoming.event import Event

from .reading import BadEventError

__all__ = ["Chunk", "Context", "SoundFormat", "Spoken", "Start", "Text", "Voice", "data_of"]


class _Message(BaseModel):
    """Data of an event; what is not listed is not used."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class SoundFormat(_Message):
    """How the samples of a sound are stored: PCM, little-endian, channels side by side."""

    rate: int = Field(ge=1000, le=768_000)
    """Hz."""
    width: int = Field(ge=1, le=4)
    """Bytes of one sample; one byte is unsigned, as in WAV files."""
    channels: int = Field(ge=1, le=16)


class Context(_Message):
    """What a text belongs to."""

    conversation_id: str | None = Field(default=None, max_length=256)


class Text(_Message):
    """What somebody said, to be answered."""

    text: str
    context: Context | None = None


class Voice(_Message):
    """The voice that is wished for."""

    name: str | None = None


class Start(_Message):
    """How a text is to be spoken that comes piece by piece."""

    voice: Voice | None = None
    text_format: str | None = None


class Chunk(_Message):
    """A piece of a text to speak."""

    text: str


class Spoken(Start):
    """A whole text to speak."""

    text: str


M = TypeVar("M", bound=BaseModel)


def data_of(event: Event, kind: type[M]) -> M:
    """The data of an event.

    Raises:
        BadEventError: which part of it is missing or wrong.
    """
    data: dict[str, Any] = event.data
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        said = problem["msg"][:1].lower() + problem["msg"][1:]
        raise BadEventError(f"{where} of the event {event.type[:40]!r}: {said}") from error
