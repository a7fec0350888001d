"""A mistake in one request ends that request alone, and says nothing of what was in it."""

from __future__ import annotations

import asyncio
import logging

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from ..mistakes import log_mistake
from ..requests.api_errors import ApiError

__all__ = ["Containment"]

_log = logging.getLogger(__name__)
_INTERNAL_ERROR = 1011
"""Close code of a websocket whose server made a mistake."""


class Containment:
    """Catches what an endpoint did not."""

    def __init__(self, app: ASGIApp, *, log_text: bool) -> None:
        """`log_text`: whether the log may hold what was in the request."""
        self._app, self._log_text = app, log_text

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or say that it failed."""
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except (ClientDisconnect, WebSocketDisconnect):
            _log.info("a caller left while he was told something")
        except asyncio.CancelledError:
            if scope["type"] == "lifespan":
                raise
            # Only the end of the server cancels a request from outside.
            await self._end(scope, send, receive, begun, ApiError(503, "the server ends."))
        except Exception as error:
            if scope["type"] == "lifespan":
                raise
            what = f"a request failed ({scope['type']})"
            log_mistake(_log, what, error, log_text=self._log_text)
            sorry = ApiError(500, "the server made a mistake; its log says which.")
            await self._end(scope, send, receive, begun, sorry)

    async def _end(
        self, scope: Scope, send: Send, receive: Receive, begun: bool, error: ApiError
    ) -> None:
        try:
            if scope["type"] == "websocket" and begun:
                code = _INTERNAL_ERROR if error.status == 500 else 1012
                await send({"type": "websocket.close", "code": code, "reason": error.message})
            elif not begun:
                await error.response()(scope, receive, send)
            # Half an answer over HTTP: the connection is closed, which tells that it is not whole.
        except (OSError, RuntimeError):
            _log.info("a caller left before he could be told that his request failed")
