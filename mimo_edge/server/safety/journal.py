"""A line in the log for every request, which says nothing of what was in it."""

from __future__ import annotations

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Journal"]

_log = logging.getLogger(__name__)
_LONGEST_PATH = 100


class Journal:
    """Logs what was asked for, how it ended and how long it took, at the level INFO."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] not in ("http", "websocket") or not _log.isEnabledFor(logging.INFO):
            await self._app(scope, receive, send)
            return
        ended = "no answer"

        async def noting(message: Message) -> None:
            nonlocal ended
            if message["type"].endswith("response.start"):
                ended = str(message["status"])
            elif message["type"] == "websocket.accept":
                ended = "accepted"
            elif message["type"] == "websocket.close":
                ended = f"closed with {message.get('code', 1000)}"
            await send(message)

        began = time.monotonic()
        try:
            await self._app(scope, receive, noting)
        finally:
            # Without the query, in which somebody may put a key; and on one line.
            path = scope["path"][:_LONGEST_PATH].encode("unicode_escape").decode("ascii")
            method = scope.get("method", "WS")
            _log.info("%s %s: %s, %.2f s", method, path, ended, time.monotonic() - began)
