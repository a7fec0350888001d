"""How much may come, how slowly, and how slowly an answer may be taken.

A body is refused by the length that it states, and where it states none or a wrong one as soon as
too much has come. Every module that reads one may have limits of its own (`uploads`).
"""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..options import Limits
from ..requests.api_errors import ApiError

__all__ = ["Bodies"]


class Bodies:
    """Limits the bodies of requests, each and together."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app, self._limits = app, limits
        self._together = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; `receive` raises an `ApiError` when it becomes too much."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        stated = Headers(scope=scope).get("content-length", "")
        if stated.isdigit() and int(stated) > self._limits.body_bytes:
            await self._too_large().response()(scope, receive, send)
            return
        body = _Body(self, receive)

        async def patient(message: Message) -> None:
            try:
                await asyncio.wait_for(send(message), self._limits.send_pause_s)
            except asyncio.TimeoutError as error:
                # Whoever reads no further would keep a place at the model for himself.
                raise ApiError(408, "the answer is not taken.", code="timeout") from error

        try:
            await self._app(scope, body.receive, patient)
        finally:
            self._together -= body.taken

    def take(self, body: _Body, more: int) -> None:
        """Count bytes that came.

        Raises:
            ApiError: they are too many.
        """
        body.taken += more
        self._together += more
        if body.taken > self._limits.body_bytes:
            raise self._too_large()
        if self._together > self._limits.bodies_bytes:
            # It goes: if it counted until its answer is sent, the others were refused as well.
            self._together -= body.taken
            body.taken = 0
            raise ApiError(
                503,
                "the server has its hands full of other requests' files; try again in a moment.",
                code="too_much_at_once",
                headers={"Retry-After": "10"},
            )

    @property
    def patience_s(self) -> float:
        """Seconds without a byte after which a body is given up."""
        return self._limits.body_pause_s

    @property
    def longest_s(self) -> float:
        """Seconds after which a body is given up that comes byte by byte."""
        return self._limits.request_s

    def _too_large(self) -> ApiError:
        return ApiError(
            413,
            f"the request has more than {self._limits.body_bytes / 2**20:.3g} MiB, which is the "
            "limit here; send less at once.",
            code="too_large",
        )


class _Body:
    """One request's body."""

    def __init__(self, bodies: Bodies, receive: Receive) -> None:
        self.taken = 0
        self._bodies, self._receive = bodies, receive
        self._complete = False
        self._until = asyncio.get_running_loop().time() + bodies.longest_s

    async def receive(self) -> Message:
        """The next message; once the body is complete, it tells only that the caller left."""
        if self._complete:
            return await self._receive()
        left_s = self._until - asyncio.get_running_loop().time()
        if left_s <= 0:
            raise ApiError(
                408,
                f"the request was not complete after {self._bodies.longest_s:g} s; send less.",
                code="timeout",
            )
        try:
            message = await asyncio.wait_for(self._receive(), self._bodies.patience_s)
        except asyncio.TimeoutError as error:
            raise ApiError(
                408,
                f"no byte of the request came for {self._bodies.patience_s:g} s; send it again.",
                code="timeout",
            ) from error
        if message["type"] == "http.request":
            self._complete = not message.get("more_body", False)
            self._bodies.take(self, len(message.get("body", b"")))
        return message
