"""One connection: its events are read ahead and handled one after the other, until it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Coroutine
from typing import Any

from wyoming.error import Error
from wyoming.event import Event

from ...errors import MimoEdgeError
from ..mistakes import log_mistake
from ..requests.api_errors import ApiError, api_error
from ..sharing.service import Service
from .conversations import Conversations
from .handler import Handler
from .options import WyomingLimits
from .peer import LEFT, Peer
from .reading import BadEventError, read_event

__all__ = ["Connection"]

_log = logging.getLogger(__name__)


class Connection:
    """One client, from its first byte to its last."""

    def __init__(
        self,
        service: Service,
        limits: WyomingLimits,
        conversations: Conversations,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._limits, self._log_text = limits, service.options.log_text
        self._reader, writer = streams
        self._peer = Peer(service, limits, writer)
        self._ahead = _ReadAhead(limits)
        self._over: asyncio.Future[BaseException | None] = asyncio.Future()
        """Why the connection is over; None: the client closed it."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._handler = Handler(service, limits, conversations, self._peer, self.beside)

    async def run(self) -> None:
        """Answer until the client leaves, or does what is not allowed. Raises nothing."""
        for part in (self._read(), self._handle(), self._watch()):
            self.beside(part)
        try:
            why = await self._over
            await self._peer.leave()
            await self._say_goodbye(why)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._peer.close(self._reader)

    def beside(self, part: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something as a part of this connection: if it fails, the connection ends."""

        async def guarded() -> None:
            try:
                await part
            except (Exception, MimoEdgeError) as error:
                self._end(error)

        task = asyncio.create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _end(self, why: BaseException | None) -> None:
        if not self._over.done():
            self._over.set_result(why)

    async def _read(self) -> None:
        while (event := await read_event(self._reader, self._limits)) is not None:
            self._peer.last_heard = asyncio.get_running_loop().time()
            await self._ahead.put(event)
        # Nobody who speaks this protocol closes one direction only and waits for the answer.
        self._peer.left = True
        if self._peer.waits:
            self._end(None)
        else:
            await self._ahead.put(None)

    async def _handle(self) -> None:
        while (event := await self._ahead.get()) is not None:
            await self._handler.handle(event)
        self._end(None)

    async def _watch(self) -> None:
        """End the connection when nothing happened for too long."""
        clock = asyncio.get_running_loop().time
        while (left := self._peer.last_heard + self._limits.idle_s - clock()) > 0:
            await asyncio.sleep(max(left, 0.01))
            if self._peer.waits:
                self._peer.last_heard = clock()
        raise BadEventError(f"nothing came for {self._limits.idle_s:g} s")

    async def _say_goodbye(self, why: BaseException | None) -> None:
        """Tell the client and the log what was wrong, without what was said."""
        gone = isinstance(why, OSError) or (isinstance(why, ApiError) and why.code == LEFT)
        if why is None or gone:
            _log.debug("Wyoming: %s left", self._peer.name)
            return
        if isinstance(why, MimoEdgeError):
            why = api_error(why)
        if isinstance(why, BadEventError):
            error = Error(text=f"{why}.", code="bad_event")
            _log.warning("Wyoming: the connection to %s ends: %s", self._peer.name, why)
        elif isinstance(why, ApiError):
            error = Error(text=why.message, code=why.code or why.type)
            _log.info("Wyoming: %s is refused (%s)", self._peer.name, error.code)
        else:
            error = Error(text="the server made a mistake; its log says which.", code="bug")
            log_mistake(_log, "Wyoming: a mistake of the server", why, log_text=self._log_text)
        # Clients of Home Assistant that do not know errors see that the connection ends.
        with contextlib.suppress(OSError):
            await self._peer.send(error)


class _ReadAhead:
    """Events that were read and not handled yet; whoever reads waits while they are too many."""

    def __init__(self, limits: WyomingLimits) -> None:
        self._limits = limits
        self._events: deque[Event | None] = deque()
        self._bytes = 0
        self._changed = asyncio.Condition()

    async def put(self, event: Event | None) -> None:
        """Put one behind, as soon as there is room; None is the end."""
        async with self._changed:
            await self._changed.wait_for(self._has_room)
            self._events.append(event)
            self._bytes += _size(event)
            self._changed.notify_all()

    async def get(self) -> Event | None:
        """The next one, as soon as there is one."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._events)
            event = self._events.popleft()
            self._bytes -= _size(event)
            self._changed.notify_all()
            return event

    def _has_room(self) -> bool:
        return (
            len(self._events) < self._limits.ahead_events and self._bytes < self._limits.ahead_bytes
        )


def _size(event: Event | None) -> int:
    return len(event.payload or b"") + _ABOUT if event is not None else 0


_ABOUT = 500
"""Bytes of an event without its payload, of usual ones."""
