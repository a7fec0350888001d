"""Who may ask: the name under which, the page from which, and the key with which."""

from __future__ import annotations

from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..options import ServerOptions
from ..requests.api_errors import ApiError
from ..sharing.metrics import Metrics
from .hosts import allowed_host
from .keys import KEY_PROTOCOL, Key, key_in_query
from .origins import check_origin

__all__ = ["Guard", "KeyCheck", "Sealed"]

_PROTOCOL = "realtime"
"""The subprotocol that is agreed on with browsers; the others that they send are no protocols."""
_WEBSOCKETS = "websocket"


class Guard:
    """Checks `Host` and `Origin`."""

    def __init__(self, app: ASGIApp, options: ServerOptions, metrics: Metrics) -> None:
        self._app, self._options, self._metrics = app, options, metrics
        self._hosts = (*options.allowed_hosts, options.host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] not in ("http", _WEBSOCKETS):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        scheme = "https" if scope["scheme"] in ("https", "wss") else "http"
        try:
            host = allowed_host(headers.getlist("host"), self._hosts)
            check_origin(headers.getlist("origin"), scheme, host, self._options.allowed_origins)
        except ApiError as error:
            await refuse(error, self._metrics, scope, receive, send)
            return
        await self._app(scope, receive, send)


class KeyCheck:
    """Checks the key."""

    def __init__(
        self, app: ASGIApp, key: str, is_public: Callable[[Scope], bool], metrics: Metrics
    ) -> None:
        self._app, self._key = app, Key(key)
        self._is_public, self._metrics = is_public, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] not in ("http", _WEBSOCKETS):
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope)
        except ApiError as error:
            await refuse(error, self._metrics, scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        name = key_in_query(scope["query_string"])
        if name is not None:
            raise ApiError(
                401,
                f"the address holds a key ({name}=…), where logs would keep it; send it as the "
                "header `Authorization: Bearer KEY`, and take another key from now on.",
                code="key_in_query",
                param=name,
                headers={"WWW-Authenticate": "Bearer"},
            )
        if scope["type"] == "http" and self._is_public(scope):
            return
        authorization = Headers(scope=scope).getlist("authorization")
        self._key.check(authorization, scope.get("subprotocols", ()))


class Sealed:
    """Takes keys out of what comes behind, so that nothing there can log or repeat them.

    With a browser that offers `realtime` and a key as subprotocols, it agrees on `realtime`,
    whatever accepts the websocket.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] not in ("http", _WEBSOCKETS):
            await self._app(scope, receive, send)
            return

        async def agreeing(message: Message) -> None:
            if message["type"] == "websocket.accept" and not message.get("subprotocol"):
                message = {**message, "subprotocol": _PROTOCOL}
            await send(message)

        inner = _without_key(scope)
        agrees = _PROTOCOL in inner.get("subprotocols", ())
        await self._app(inner, receive, agreeing if agrees else send)


def _without_key(scope: Scope) -> Scope:
    kept = [
        protocol
        for protocol in scope.get("subprotocols", ())
        if not protocol.startswith(KEY_PROTOCOL)
    ]
    headers = [
        (name, ", ".join(kept).encode("latin-1") if name == b"sec-websocket-protocol" else value)
        for name, value in scope["headers"]
        if name != b"authorization"
    ]
    inner = {**scope, "headers": headers}
    if scope["type"] == _WEBSOCKETS:
        inner["subprotocols"] = kept
    return inner


async def refuse(
    error: ApiError, metrics: Metrics, scope: Scope, receive: Receive, send: Send
) -> None:
    """Tell a caller, over HTTP or before a websocket is accepted, why he gets no answer."""
    metrics.refused(scope["type"], error.code or str(error.status))
    if scope["type"] == _WEBSOCKETS:
        await receive()  # the request to connect
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
            return
    await error.response()(scope, receive, send)
