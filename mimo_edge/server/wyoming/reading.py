"""Events from a client, read within limits.

The library's own reader takes any length that a client states, and so any amount of memory. An
event is one line of JSON; the line may say how many bytes of further JSON and how many bytes of
sound follow.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from wyoming.event import Event

from .options import WyomingLimits

__all__ = ["BadEventError", "read_event"]


class BadEventError(Exception):
    """What a client sent is no event, or more than the limits; what follows cannot be read."""


async def read_event(reader: asyncio.StreamReader, limits: WyomingLimits) -> Event | None:
    """The next event; None if the client closed the connection between two events.

    `reader` was made with `limits.header_bytes` as its own limit.

    Raises:
        BadEventError: it is no event, too large, or ends in its middle.
        OSError: the connection broke.
    """
    try:
        line = await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        if error.partial.strip():
            raise BadEventError("the connection was closed within an event") from error
        return None
    except asyncio.LimitOverrunError as error:
        raise BadEventError(
            f"the line of an event is longer than {limits.header_bytes:,} bytes"
        ) from error
    header = _json_object(line, "the line of an event")
    kind, data = header.get("type"), header.get("data") or {}
    if not isinstance(kind, str) or not isinstance(data, dict):
        raise BadEventError("an event has no type, or its data is no object")
    more = _length(header, "data_length", limits.data_bytes)
    payload_length = _length(header, "payload_length", limits.payload_bytes)
    try:
        if more:
            data = data | _json_object(await reader.readexactly(more), "the data of an event")
        payload = await reader.readexactly(payload_length) if payload_length else None
    except asyncio.IncompleteReadError as error:
        raise BadEventError("the connection was closed within an event") from error
    return Event(type=kind, data=data, payload=payload)


def _length(header: dict[str, Any], name: str, most: int) -> int:
    value = header.get(name)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BadEventError(f"{name} is no number of bytes")
    if value > most:
        raise BadEventError(f"{name} is {value:,}, and at most {most:,} bytes are taken at once")
    return value


def _json_object(text: bytes, what: str) -> dict[str, Any]:
    try:
        value = json.loads(text.decode())  # of bytes it would take half characters
        if b"\\ud" in text.lower():  # half a character, which neither the model nor we can write
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise BadEventError(f"{what} is no JSON") from error
    if not isinstance(value, dict):
        raise BadEventError(f"{what} is no JSON object")
    return value
