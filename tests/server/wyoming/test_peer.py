"""A client at the other end, seen from the server."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from wyoming.error import Error

from mimo_edge.server.options import ServerOptions
from mimo_edge.server.sharing.service import Service
from mimo_edge.server.wyoming.options import WyomingLimits
from mimo_edge.server.wyoming.peer import Peer
from tests.tools.exact_demo import load_exact_demo


def test_what_is_sent_to_whoever_just_left_does_not_reach_the_next() -> None:
    """Between the loss of a connection and the closing of its socket: the next one has its number.

    On Python 3.12 and 3.13.0, nothing was read from that one.
    """

    async def lose_then_answer(first: socket.socket, second: socket.socket) -> bytes:
        limits = WyomingLimits()
        over = asyncio.Event()

        async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if over.is_set():
                writer.write(await reader.readline())
                writer.close()
                return
            writer.transport.abort()  # as when a reset arrives
            peer = Peer(Service(load_exact_demo, ServerOptions(port=0)), limits, writer)
            with contextlib.suppress(OSError):
                await peer.send(Error(text="The connection was closed.", code="bad_event"))
            over.set()

        server = await asyncio.start_server(meet, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        try:
            await asyncio.to_thread(first.connect, address)
            await over.wait()
            return await asyncio.to_thread(said_back, second, address)
        finally:
            server.close()

    # Both exist before, so that the free number is the next one that the server gets.
    with socket.socket() as first, socket.socket() as second:
        second.settimeout(20)
        assert asyncio.run(lose_then_answer(first, second)) == b"so\n"


def said_back(connection: socket.socket, address: tuple[str, int]) -> bytes:
    connection.connect(address)
    connection.sendall(b"so\n")
    return connection.recv(100)
