"""HTTP/1.1 with limits that uvicorn has not: connections of both kinds, and time for headers."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..options import Limits
from .api_errors import ApiError

__all__ = ["limited_protocol"]


def limited_protocol(limits: Limits) -> type[asyncio.Protocol]:
    """A protocol for uvicorn, which makes one for every connection."""

    class Limited(_Limited):
        pass

    Limited.limits = limits
    return Limited


class _Limited(H11Protocol):
    """Refuses a connection too many, and closes one whose headers do not come.

    Uvicorn's limit does not count websockets, and it waits for the first request for ever: a few
    hundred connections that say nothing would keep everybody out.
    """

    limits: Limits
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A caller connected."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            transport.write(_too_many(self.limits.connections))
            transport.close()
        else:
            self._await_head()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        super().data_received(data)
        # Idle is who has not said all of a request's headers; between two requests uvicorn's own
        # timer runs, which the first byte of the next one ends.
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._head_timer is None and self.timeout_keep_alive_task is None:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._stop_waiting()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: Any) -> None:
        """The connection goes on as a websocket."""
        self._stop_waiting()
        super().handle_websocket_upgrade(event)

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.limits.head_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()


def _too_many(connections: int) -> bytes:
    error = ApiError(
        503,
        f"the server has {connections} connections, which is its limit; try again later.",
        code="too_many_connections",
        headers={"Retry-After": "10", "Connection": "close"},
    ).response()
    head = b"".join(b"%s: %s\r\n" % header for header in error.raw_headers)
    return b"HTTP/1.1 503 Service Unavailable\r\n" + head + b"\r\n" + bytes(error.body)
