"""A small application behind the protection of the server, and ways to ask it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.types import Scope
from starlette.websockets import WebSocket

from mimo_edge.server.options import ServerOptions
from mimo_edge.server.safety import protected
from mimo_edge.server.sharing.metrics import Metrics

KEY = "right-key-of-this-test"
BEARER = {"Authorization": f"Bearer {KEY}"}


async def models(request: Request) -> Response:
    return JSONResponse({"headers": [name for name, _ in request.headers.items()]})


async def body(request: Request) -> Response:
    return JSONResponse({"bytes": len(await request.body())})


async def broken(request: Request) -> Response:
    raise KeyError("what somebody said")


async def half(request: Request) -> Response:
    async def pieces() -> Any:
        yield b"half"
        raise KeyError("what somebody said")

    return StreamingResponse(pieces())


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_json(
        {"offered": websocket.scope["subprotocols"], "headers": [*websocket.headers]}
    )
    if await websocket.receive_text() == "break":
        raise KeyError("what somebody said")
    await websocket.close()


@contextmanager
def serving(options: ServerOptions, *, url: str = "http://127.0.0.1:8000") -> Iterator[TestClient]:
    handlers: dict[str, Callable[[Request], Any]] = {
        "/v1/models": models,
        "/health": models,
        "/body": body,
        "/broken": broken,
        "/half": half,
    }
    app = Starlette(
        routes=[
            *(Route(path, handler, methods=["GET", "POST"]) for path, handler in handlers.items()),
            WebSocketRoute("/v1/realtime", echo),
        ]
    )

    def is_public(scope: Scope) -> bool:
        return str(scope["path"]) == "/health"

    safe = protected(app, options, Metrics(), is_public)
    with TestClient(safe, base_url=url, raise_server_exceptions=False) as client:
        yield client


def realtime(client: TestClient) -> str:
    """Starlette's client takes another base for websockets unless the address is whole."""
    scheme = "wss" if client.base_url.scheme == "https" else "ws"
    return str(client.base_url.copy_with(scheme=scheme, path="/v1/realtime"))


def refused(client: TestClient, headers: Any, **more: Any) -> list[tuple[int, str]]:
    """(status, code) of the refusal over HTTP and of a websocket; (200, "") if there was none."""
    headers, query = httpx.Headers(headers), more.get("query", "")
    asked = client.get("/v1/models" + query, headers=headers)
    said = [(asked.status_code, "" if asked.is_success else asked.json()["error"]["code"])]
    try:
        with client.websocket_connect(
            realtime(client) + query, headers=headers, subprotocols=more.get("offer")
        ) as websocket:
            websocket.receive_json()
            websocket.send_text("end")
        said.append((200, ""))
    except WebSocketDenialResponse as denial:
        said.append((denial.status_code, denial.json()["error"]["code"]))
    return said
