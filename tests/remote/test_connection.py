"""Connections themselves: encrypted ones, many at once; what they do not follow, and their end."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve

from mimo_edge.errors import MimoEdgeError
from mimo_edge.remote.address import ServerAddress
from mimo_edge.remote.connection import Connection, ConnectionLost, connect
from mimo_edge.remote.event_loop import EventLoop, EventLoopEnded
from tests.tools.certificate import self_signed


@pytest.fixture(scope="module")
def loop() -> Iterator[EventLoop]:
    loop = EventLoop("the server of these tests")
    yield loop
    loop.end(5)


@contextlib.contextmanager
def echoing(loop: EventLoop, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port of a server that says what it hears."""

    async def echo(socket: ServerConnection) -> None:
        async for message in socket:
            await socket.send(message)

    async def begin() -> tuple[int, contextlib.AbstractAsyncContextManager[object]]:
        server = serve(echo, "127.0.0.1", 0, ssl=tls)
        (socket,) = (await server.__aenter__()).sockets
        return socket.getsockname()[1], server

    port, server = loop.wait(begin())
    try:
        yield port
    finally:
        loop.wait(server.__aexit__(None, None, None))


def said_back(connection: Connection) -> bool:
    """Whether what is said arrives and comes back: an event of a kind that nobody needs."""
    connection.send({"type": "rate_limits.updated"})
    return connection.receive(20) is None


def test_many_encrypted_connections(loop: EventLoop, tmp_path: Path) -> None:
    """The server sends tickets while the first request goes out: 200 of them make it likely that
    a client which reads and writes from two threads loses one, or crashes.
    """
    certificate, key = self_signed(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    tls.num_tickets = 200

    def talk(port: int) -> bool:
        connection = connect(ServerAddress(url=f"wss://localhost:{port}/", ca=certificate))
        try:
            return said_back(connection)
        finally:
            connection.close()

    with echoing(loop, tls) as port, ThreadPoolExecutor(4) as threads:
        assert all(threads.map(talk, [port] * 120))


def test_a_closed_connection_says_so(loop: EventLoop) -> None:
    """Also to those who wait in other threads."""
    with echoing(loop) as port, ThreadPoolExecutor(1) as threads:
        connection = connect(ServerAddress(url=f"ws://127.0.0.1:{port}/"))
        assert said_back(connection)
        with pytest.raises(TimeoutError):
            connection.receive(0.05)
        waiting = threads.submit(connection.receive)
        connection.close()
        with pytest.raises(ConnectionLost, match="was lost"):
            waiting.result(20)
        for use in (connection.receive, lambda: connection.send({})):
            with pytest.raises(ConnectionLost, match="was lost"):
                use()
        connection.close()


def test_connections_leave_nothing(loop: EventLoop) -> None:
    with echoing(loop) as port:
        address = ServerAddress(url=f"ws://127.0.0.1:{port}/")
        connect(address).close()
        threads = threading.active_count()
        for _ in range(20):
            connect(address).close()
            with pytest.raises(MimoEdgeError):
                connect(ServerAddress(url="ws://127.0.0.1:9/"))
        assert threading.active_count() <= threads


def test_no_other_server_gets_the_key() -> None:
    """A redirection is no answer: its target would be sent the key."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"ws://127.0.0.1:{server.server_port}/v1/realtime"
        with pytest.raises(MimoEdgeError, match="it answers 302"):
            connect(ServerAddress(url=url, api_key="a key"))
        server.shutdown()
    assert asked == ["/v1/realtime"]


@pytest.mark.parametrize(
    "proxy", ["127.0.0.1:3128", "gopher://me:secret@host:1", "http://127.0.0.1:99999"]
)
def test_a_proxy_that_is_none(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    for name in ("all_proxy", "no_proxy", "ALL_PROXY", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(MimoEdgeError, match="names a proxy that cannot be used") as raised:
        connect(ServerAddress(url="ws://speech.invalid/"))
    assert "secret" not in str(raised.value)


def test_what_is_asked_of_an_ended_loop_does_not_wait() -> None:
    loop = EventLoop("to be ended")
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(lambda: loop.wait(asyncio.sleep(100)))
        loop.wait(asyncio.sleep(0.01))
        loop.end(20)
        with pytest.raises(EventLoopEnded):
            waiting.result(20)
    with pytest.raises(EventLoopEnded):
        loop.wait(asyncio.sleep(0))


@pytest.mark.skipif(os.name == "nt", reason="Windows limits no descriptors")
def test_too_many_open_files_are_a_sentence() -> None:
    code = """
import os, resource
from mimo_edge.remote import address, connection
import websockets.asyncio.client, asyncio, encodings.idna
resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
try:
    while True: os.open(os.devnull, os.O_RDONLY)
except OSError: pass
try: connection.connect(address.ServerAddress(url="ws://127.0.0.1:9/"))
except connection.ConnectionLost as error: print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert "cannot be reached (Too many open files)" in done.stdout
