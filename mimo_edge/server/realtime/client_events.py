"""What a client may send."""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ..requests.api_errors import ApiError
from ..requests.json_values import check_few_values
from ..requests.parameters import first_problem

__all__ = [
    "Append",
    "Cancel",
    "Clear",
    "ClientEvent",
    "Commit",
    "CreateItem",
    "CreateResponse",
    "DeleteItem",
    "RetrieveItem",
    "TruncateItem",
    "UpdateSession",
    "event_id_of",
    "names_voice",
    "read_event",
    "read_json",
]

_SHOWN_CHARACTERS = 60
"""Of a wrong value in an error."""


class ClientEvent(BaseModel):
    """One message of a client."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: ClassVar[str]
    event_id: str | None = Field(default=None, max_length=512)
    """By which an error names the event that caused it."""


class UpdateSession(ClientEvent):
    """Change the settings that are given; `settings.py` reads them."""

    kind = "session.update"
    session: dict[str, Any]


class Append(ClientEvent):
    """More sound, of any length."""

    kind = "input_audio_buffer.append"
    audio: str


class Commit(ClientEvent):
    """The sound so far is a turn."""

    kind = "input_audio_buffer.commit"


class Clear(ClientEvent):
    """Forget the sound so far."""

    kind = "input_audio_buffer.clear"


class CreateItem(ClientEvent):
    """Put something into the conversation; `item_reading.py` reads the item."""

    kind = "conversation.item.create"
    item: dict[str, Any]
    previous_item_id: str | None = None
    """Behind which item; `root`: before all others; None: at the end."""


class DeleteItem(ClientEvent):
    """Take an item out of the conversation."""

    kind = "conversation.item.delete"
    item_id: str


class RetrieveItem(ClientEvent):
    """Send an item back, with its sound."""

    kind = "conversation.item.retrieve"
    item_id: str


class TruncateItem(ClientEvent):
    """Of a spoken answer only the beginning was heard."""

    kind = "conversation.item.truncate"
    item_id: str
    content_index: Literal[0] = 0
    audio_end_ms: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class CreateResponse(ClientEvent):
    """Answer now."""

    kind = "response.create"
    response: Annotated[dict[str, Any], BeforeValidator(lambda given: given or {})] = Field(
        default_factory=dict
    )


class Cancel(ClientEvent):
    """End an answer."""

    kind = "response.cancel"
    response_id: str | None = None


_KINDS = {
    event.kind: event
    for event in (
        UpdateSession,
        Append,
        Commit,
        Clear,
        CreateItem,
        DeleteItem,
        RetrieveItem,
        TruncateItem,
        CreateResponse,
        Cancel,
    )
}


def names_voice(event: ClientEvent) -> bool:
    """Whether an event may ask for a voice."""
    given: Any = None
    if isinstance(event, UpdateSession):
        given = event.session
    elif isinstance(event, CreateResponse):
        given = event.response
    for name in ("audio", "output", "voice"):
        given = given.get(name) if isinstance(given, dict) else None
    return given is not None


def event_id_of(given: Any) -> str | None:
    """By which name an error may refer to a message, if it has one."""
    name = given.get("event_id") if isinstance(given, dict) else None
    return name if isinstance(name, str) and len(name) <= 512 else None


def read_json(text: str) -> Any:
    """A message as JSON.

    Raises:
        ApiError: it is none, or of too many values.
    """
    check_few_values(text)
    shown = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
    try:
        given = json.loads(text)
        if "\\ud" in text.lower():  # half a character, which neither the model nor we can write
            json.dumps(given, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"the message is not JSON: {shown!r}", code="invalid_json") from error
    return given


def read_event(given: Any) -> ClientEvent:
    """A message as an event.

    Raises:
        ApiError: it is of an unknown type, or lacks something.
    """
    kind = given.get("type") if isinstance(given, dict) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ApiError(
            400,
            f"type: {str(kind)[:_SHOWN_CHARACTERS]!r} is no event that a client may send; there "
            f"are {', '.join(_KINDS)}.",
            code="invalid_event_type",
            param="type",
        )
    try:
        return _KINDS[kind].model_validate(given)
    except ValidationError as error:
        raise first_problem(error, given) from error
