"""What waits to be sent to a client, and the one who sends it."""

from __future__ import annotations

import asyncio
import json
from collections import deque

from starlette.websockets import WebSocket

from .server_events import Event

__all__ = ["ClosedSlow", "Outbox"]

_MOST_CHARACTERS = 64 * 2**20
"""That wait. Sound is paced, so this is only reached by asking for a lot and reading nothing."""
_STALLED_S = 30.0
"""Seconds after which a client that takes nothing is given up."""


class ClosedSlow(Exception):
    """The client does not read what it asked for."""


class Outbox:
    """For the event loop: `put` never waits, `send_all` sends in the same order."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._waiting: deque[str] = deque()
        self._characters = 0
        self._more = asyncio.Event()

    def put(self, event: Event) -> None:
        """Send an event as soon as the client takes it.

        Raises:
            ClosedSlow: too much waits already.
        """
        text = json.dumps(event, ensure_ascii=False)
        if self._characters + len(text) > _MOST_CHARACTERS and self._waiting:
            raise ClosedSlow
        self._waiting.append(text)
        self._characters += len(text)
        self._more.set()

    async def send_all(self) -> None:
        """Send until it is cancelled.

        Raises:
            ClosedSlow: the client takes nothing for a while.
        """
        while True:
            while self._waiting:
                text = self._waiting.popleft()
                self._characters -= len(text)
                try:
                    await asyncio.wait_for(self._socket.send_text(text), _STALLED_S)
                except asyncio.TimeoutError as error:
                    raise ClosedSlow from error
            self._more.clear()
            await self._more.wait()
