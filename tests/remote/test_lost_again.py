"""A server that takes a connection back and is gone again before it heard what was said."""

from __future__ import annotations

import json
import threading

import numpy as np
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from mimo_edge.dialogue.model_events import Told
from mimo_edge.remote.address import ServerAddress
from mimo_edge.remote.event_loop import EventLoop

from .conversing import conversing, eventually

_GOES_AWAY = 3
"""Sessions that the server ends at their beginning."""


def test_no_try_leaves_a_connection_behind() -> None:
    loop, opened, stays = EventLoop("the server of this test"), 0, threading.Event()

    async def talk(socket: ServerConnection) -> None:
        nonlocal opened
        opened += 1
        number = opened
        await socket.send(json.dumps({"type": "session.created", "session": {}}))
        try:
            async for message in socket:
                kind = json.loads(message)["type"]
                if kind == "session.update":
                    await socket.send(json.dumps({"type": "session.updated", "session": {}}))
                    if 1 < number <= 1 + _GOES_AWAY:
                        socket.transport.abort()  # as a network does that breaks
                elif kind == "response.create":
                    if number > 1:
                        stays.set()
                    else:
                        socket.transport.abort()
        except ConnectionClosed:
            pass

    async def begin() -> Server:
        return await serve(talk, "127.0.0.1", 0)

    server = loop.wait(begin())
    (listening,) = server.sockets
    address = ServerAddress(url=f"ws://127.0.0.1:{listening.getsockname()[1]}/")
    with conversing(address) as mine:
        mine.model.answer(1, np.zeros(20 * 24_000, dtype=np.float32))
        mine.wait_for(Told)  # that the connection is lost
        assert stays.wait(60)
        eventually(lambda: _connections() == 1)
    assert opened == 2 + _GOES_AWAY
    eventually(lambda: _connections() == 0)
    loop.end(5)


def _connections() -> int:
    return sum(thread.name == "mimo_edge connection" for thread in threading.enumerate())
