"""Names and small parts of what the server sends."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from ..requests.api_errors import ApiError

__all__ = ["Event", "error_event", "event", "new_id"]

Event = dict[str, Any]
"""One message of the server, ready for JSON."""


def new_id(kind: str) -> str:
    """A name that is used once: `item_…`, `resp_…`, `event_…`."""
    return f"{kind}_{secrets.token_hex(10)}"


def event(kind: str, fields: Mapping[str, Any] | None = None) -> Event:
    """An event of a type."""
    return {"type": kind, "event_id": new_id("event"), **(fields or {})}


def error_event(error: ApiError, caused_by: str | None = None) -> Event:
    """What went wrong, and by which event of the client (its `event_id`)."""
    return event("error", {"error": {**error.body, "event_id": caused_by}})
