"""What an endpoint is: where it is, who answers, and how it is described."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

__all__ = ["Endpoint", "Handler", "route"]

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One method of one path; the OpenAPI description is made of all of them."""

    method: str
    path: str
    """As starlette writes it: `/v1/audio/voices/{id}`."""
    summary: str
    handler: Handler
    body: type[BaseModel] | None = None
    """What the request holds."""
    body_type: str = "application/json"
    files: tuple[str, ...] = ()
    """Fields of a `multipart/form-data` body that are files; the others are those of `body`."""
    answers: Mapping[str, type[BaseModel] | Mapping[str, Any] | None] = field(
        default_factory=lambda: {"application/json": None}
    )
    """Content type → what a success of it holds: a model, a JSON schema, or unsaid (None)."""
    status: int = 200
    """Of a success."""
    public: bool = False
    """Whether it is answered without a key."""


def route(endpoint: Endpoint) -> Route:
    """The endpoint, for starlette."""
    return Route(endpoint.path, endpoint.handler, methods=[endpoint.method])
