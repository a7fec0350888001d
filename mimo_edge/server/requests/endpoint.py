"""What an endpoint is: where it is, who answers, and how it is described."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

__all__ = ["Endpoint", "Handler", "routes"]

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


def routes(every: Iterable[Endpoint]) -> list[Route]:
    """The endpoints for starlette: one route a path, which knows all methods it takes."""
    by_path: dict[str, dict[str, Handler]] = {}
    for endpoint in every:
        by_path.setdefault(endpoint.path, {})[endpoint.method] = endpoint.handler
    return [_route(path, handlers) for path, handlers in by_path.items()]


def _route(path: str, handlers: Mapping[str, Handler]) -> Route:
    async def answer(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await handlers[method](request)

    return Route(path, answer, methods=[*handlers])
