"""A client at the other end of a connection, as long as it is there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from wyoming.event import Eventable, async_write_event

from ..requests.api_errors import ApiError
from ..sharing.service import Service
from ..sharing.work import Work
from .options import WyomingLimits

__all__ = ["LEFT", "Peer"]

LEFT = "left"
"""Code of the error that ends the work for a client that is gone."""

_STEP_S = 2.0
"""More than a step takes."""
_REST_S = 1.0
"""In which a client that still sends looks at what it was sent."""


class Peer:
    """What is sent to a client, and the work that is done for it."""

    def __init__(
        self, service: Service, limits: WyomingLimits, writer: asyncio.StreamWriter
    ) -> None:
        self.left = False
        """Whether it sends nothing more, so that nobody would hear an answer."""
        self.waits = 0
        """For how many answers that are being made, or have to wait for their turn."""
        self.last_heard = asyncio.get_running_loop().time()
        """When it sent something, or was given the end of an answer."""
        self._service = service
        self._limits = limits
        self._writer = writer
        self._works: set[Work] = set()
        self._resting = asyncio.Event()
        """While nothing is being made."""

    @property
    def name(self) -> str:
        """Its address, for the log."""
        address = self._writer.get_extra_info("peername")
        return str(address[0]) if address else "unknown"

    async def send(self, message: Eventable) -> None:
        """Send an event, as soon as the client has taken what came before.

        Raises:
            OSError: it left, or takes nothing.
        """
        # `StreamWriter.writelines`, by which events are written, of Python 3.12 to 3.13.5 waits
        # for a connection that was just lost to take them. It does so by the descriptor's number,
        # which the next connection gets: of that one nothing would ever be read.
        if self._writer.is_closing():
            raise ConnectionResetError("the client left")
        writing = async_write_event(message.event(), self._writer)
        try:
            await asyncio.wait_for(writing, self._limits.stalled_s)
        except asyncio.TimeoutError as error:
            self._writer.transport.abort()
            raise ConnectionAbortedError("the client takes nothing of what it is sent") from error

    @contextlib.asynccontextmanager
    async def working(self, kind: str) -> AsyncIterator[Work]:
        """A turn with the model; see `Service.work`.

        Raises:
            ApiError: the model is not ready, too many wait, or the client left.
        """
        if self.left:
            raise _left()
        self.waits += 1
        try:
            async with self._service.work(f"wyoming.{kind}") as work:
                self._works.add(work)
                self._resting.clear()
                try:
                    yield work
                except OSError:
                    work.end(_left(), "left")
                    work.check()
                finally:
                    self._works.discard(work)
        finally:
            self.waits -= 1
            if not self._works:
                self._resting.set()
            self.last_heard = asyncio.get_running_loop().time()

    async def leave(self) -> None:
        """End what is being made for it, as nobody will hear that: within one step."""
        self.left = True
        for work in [*self._works]:
            work.end(_left(), "left")
        if self._works:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._resting.wait(), _STEP_S)

    async def close(self, rest: asyncio.StreamReader) -> None:
        """End the connection; what was sent before still arrives if the client takes it soon.

        `rest` is what the client still sends; nobody else reads it any more. It is read for a
        moment: of a connection that is closed over unread bytes, the other side may get an error
        instead of what was sent to it, which says why it ends.
        """
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            if not self._writer.is_closing():
                self._writer.write_eof()
            await asyncio.wait_for(_read_out(rest), _REST_S)
        self._writer.close()
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            await asyncio.wait_for(self._writer.wait_closed(), 5)
        self._writer.transport.abort()


async def _read_out(rest: asyncio.StreamReader) -> None:
    while await rest.read(1 << 16):
        pass


def _left() -> ApiError:
    # Nobody gets this answer; it is for the metrics.
    return ApiError(499, "the client left.", code=LEFT)
