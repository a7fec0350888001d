"""The application: all endpoints, and what every request passes before it reaches one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, compile_path
from starlette.types import ASGIApp, Scope

from ..errors import MimoEdgeError
from . import about, chat, openapi, page, realtime
from .requests.api_errors import ApiError, api_error
from .requests.endpoint import Endpoint, routes
from .safety import protected
from .sharing.service import Service
from .speaking import endpoint as speech
from .transcribing import endpoint as transcriptions
from .voices import endpoint as voices

__all__ = ["create_app"]

_LOADING_S = 5.0
"""Seconds to wait for a model that is being loaded when the server has to end."""


def create_app(service: Service) -> ASGIApp:
    """The server as an ASGI application; it loads the model when it starts."""
    every = _endpoints(service)
    every.append(openapi.endpoint(service.options, every))
    app = Starlette(
        routes=[*routes(every), *_others(service)],
        lifespan=lambda _: _lifespan(service),
        exception_handlers={
            ApiError: _tell_api_error,
            MimoEdgeError: _tell_error,
            HTTPException: _tell_http,
            ClientDisconnect: _tell_nobody,
            Exception: _tell_bug,
        },
    )
    return protected(app, service.options, service.metrics, _public(every))


def _endpoints(service: Service) -> list[Endpoint]:
    """All that is described: the `endpoints(service)` of each module, one line each."""
    return [
        *about.endpoints(service),
        *chat.endpoints(service),
        *speech.endpoints(service),
        *transcriptions.endpoints(service),
        *voices.endpoints(service),
    ]


def _others(service: Service) -> list[BaseRoute]:
    """Websockets and the page: the `routes(service)` of each module, one line each."""
    return [
        *page.routes(service),
        *realtime.routes(service),
    ]


@contextlib.asynccontextmanager
async def _lifespan(service: Service) -> AsyncIterator[None]:
    # The server answers /health while the model is loaded.
    loading = asyncio.create_task(service.start())
    try:
        async with contextlib.AsyncExitStack() as beside:
            for other in service.beside:
                await beside.enter_async_context(other)
            yield
    finally:
        await asyncio.wait([loading], timeout=_LOADING_S)
        await service.close()


def _public(every: Sequence[Endpoint]) -> Callable[[Scope], bool]:
    """What is answered without a key: endpoints that say so, and the page."""
    described = [(endpoint, compile_path(endpoint.path)[0]) for endpoint in every]

    def is_public(scope: Scope) -> bool:
        method, path = scope["method"], scope["path"]
        method = "GET" if method == "HEAD" else method
        for endpoint, pattern in described:
            if endpoint.method == method and pattern.match(path):
                return endpoint.public
        return method == "GET" and not path.startswith("/v1/")

    return is_public


async def _tell_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error.response()


async def _tell_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, MimoEdgeError)
    return api_error(error).response()


async def _tell_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentence = {
        404: f"there is nothing at {request.url.path}; see /openapi.json for what there is.",
        405: f"{request.url.path} does not take {request.method}.",
    }.get(error.status_code, f"{error.detail}.")
    return ApiError(error.status_code, sentence, headers=error.headers).response()


async def _tell_nobody(request: Request, error: Exception) -> Response:
    return Response(status_code=400)  # the caller left before his request was whole


async def _tell_bug(request: Request, error: Exception) -> Response:
    # Starlette raises the exception again afterwards, and `safety/containment.py` logs it.
    return ApiError(500, "the server made a mistake; its log says which.").response()
