"""Takes Wyoming's connections, in the event loop of the HTTP server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from types import TracebackType

from wyoming.error import Error

from ...errors import DeviceError, MissingPackageError
from ..sharing.service import Service
from .connection import Connection
from .conversations import Conversations
from .options import WyomingOptions
from .peer import Peer

__all__ = ["WyomingServer", "listen"]

_log = logging.getLogger(__name__)

_SEND_BYTES = 128 * 2**10
"""That wait to be sent; about three seconds of speech."""


def listen(options: WyomingOptions) -> socket.socket:
    """A socket at the server's address; connections wait in it until the server takes them.

    Raises:
        MimoEdgeError: the address is in use, or not one of this machine.
    """
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    # With its protocol named, asyncio sends small pieces at once; else each may wait 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":  # elsewhere it lets two programs have one port
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Of its connections too: the system would keep minutes of speech for a client that takes none.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
    try:
        listening.bind((options.host, options.port))
        listening.listen(options.limits.connections)
    except OSError as error:
        listening.close()
        raise DeviceError(
            f"the Wyoming server cannot listen on {options.host}:{options.port} "
            f"({error.strerror or error}); choose another port, or 0 for any free one."
        ) from error
    return listening


def _announced(options: WyomingOptions, port: int) -> contextlib.AbstractAsyncContextManager[None]:
    if not options.announce:
        return contextlib.nullcontext()
    try:
        from .announcing import announced
    except ImportError as error:
        raise MissingPackageError(
            "announcing the Wyoming server needs the package zeroconf; "
            "install it with `pip install 'mimo-edge[wyoming]'`."
        ) from error
    return announced(options.host, port)


class WyomingServer:
    """The server, for `async with`: it answers until the block ends."""

    def __init__(self, service: Service, options: WyomingOptions, listening: socket.socket) -> None:
        """Of `service`'s model, at the socket that `listen` gave.

        Raises:
            MissingPackageError: it is to be announced, and zeroconf is not installed.
        """
        self._service = service
        self._options = options
        self._listening = listening
        self._conversations = Conversations(service, options.limits)
        self._connections: set[asyncio.Task[None]] = set()
        self._announced = _announced(options, listening.getsockname()[1])

    async def __aenter__(self) -> WyomingServer:
        """Begin to answer, and tell the network if that is wanted."""
        limit = self._options.limits.header_bytes
        self._server = await asyncio.start_server(self._meet, sock=self._listening, limit=limit)
        if not self._options.only_here:
            _log.info(
                "Wyoming: everybody who reaches %s may use the model; the protocol has no keys",
                self._options.host,
            )
        await self._announced.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End all connections."""
        try:
            await self._announced.__aexit__(None, None, None)
        finally:
            self._server.close()
            for connection in self._connections:
                connection.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)
            self._conversations.close()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        limits = self._options.limits
        if len(self._connections) >= limits.connections:
            await self._refuse(Peer(self._service, limits, writer), reader)
            return
        connection = Connection(self._service, limits, self._conversations, (reader, writer))
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await connection.run()
        except asyncio.CancelledError:
            pass  # the server ends; asyncio would log it as a mistake
        finally:
            self._connections.discard(task)

    async def _refuse(self, peer: Peer, rest: asyncio.StreamReader) -> None:
        count = len(self._connections)
        _log.warning("Wyoming: %s is refused: %d connections are open", peer.name, count)
        with contextlib.suppress(OSError):
            await peer.send(
                Error(text=f"{count} connections are open; try again later.", code="busy")
            )
        await peer.close(rest)
