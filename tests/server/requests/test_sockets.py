"""What arrives over real connections: doubled headers, slow callers, too many, too much."""

from __future__ import annotations

import asyncio
import contextlib
import json
import select
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets.asyncio.client
from websockets.typing import Origin

from mimo_edge.model import MimoAudio
from mimo_edge.server.options import Limits, ServerOptions
from mimo_edge.server.run import listen, server_of
from mimo_edge.server.sharing.service import Service

from ..running import Running, running

KEY = "right-key-of-this-test"
UPGRADE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


@pytest.fixture(scope="module")
def guarded() -> Iterator[Running]:
    """A server with a key and small limits."""
    limits = Limits(
        connections=8,
        head_bytes=8000,
        head_s=1,
        body_pause_s=1,
        body_bytes=1 << 20,
        json_bytes=1 << 20,
    )
    with running(ServerOptions(port=0, api_key=KEY, limits=limits)) as server:
        yield server


def connect(server: Running) -> socket.socket:
    url = httpx.URL(server.url)
    return socket.create_connection((url.host, url.port or 80), timeout=30)


def ask(server: Running, *lines: str, path: str = "/v1/models") -> tuple[int, Any]:
    """(status, JSON or None) of what a request of these header lines gets.

    An accepted websocket is left at once.
    """
    with connect(server) as connection:
        if UPGRADE[0] not in lines:
            lines += ("Connection: close",)
        head = "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""])
        connection.sendall(head.encode("latin-1"))
        answer = connection.recv(1 << 16)
        if b" 101 " in answer[:20]:
            return 101, None
        return parse(answer + everything(connection))


def everything(connection: socket.socket) -> bytes:
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while more := connection.recv(1 << 16):
            data += more
    return data


def parse(answer: bytes) -> tuple[int, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split()[1]) if head else 0
    with contextlib.suppress(ValueError):
        return status, json.loads(body)
    return status, None


@pytest.mark.parametrize("upgrade", [(), UPGRADE])
@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["Host: localhost", f"Authorization: Bearer {KEY}"], 200),
        (["Host: localhost"], 401),
        (["Host: evil.example", f"Authorization: Bearer {KEY}"], 403),
        (["Host:", f"Authorization: Bearer {KEY}"], 400),
        ([f"Authorization: Bearer {KEY}"], 400),
        (["Host: localhost", "Host: localhost", f"Authorization: Bearer {KEY}"], 400),
        (["Host: localhost", *2 * [f"Authorization: Bearer {KEY}"]], 400),
        (["Host: localhost", "Authorization: Bearer ÿ"], 401),
        (["Host: localhost", f"Authorization: Bearer {KEY}", *2 * ["Origin: http://a.b"]], 400),
        (["Host: localhost", f"Authorization: Bearer {KEY}", "Origin: null"], 403),
    ],
)
def test_the_checks_hold_for_what_no_client_library_sends(
    guarded: Running, lines: list[str], status: int, upgrade: tuple[str, ...]
) -> None:
    if upgrade and status == 200:
        status = 101
    path = "/v1/realtime?model=x" if upgrade else "/v1/models"
    assert ask(guarded, *lines, *upgrade, path=path)[0] == status


def test_a_browser_shows_its_key_as_a_subprotocol(guarded: Running) -> None:
    protocols = f"realtime, openai-insecure-api-key.{KEY}, openai-agents-sdk.0.9"
    with connect(guarded) as connection:
        lines = ["GET /v1/realtime HTTP/1.1", "Host: localhost", *UPGRADE]
        head = "\r\n".join([*lines, f"Sec-WebSocket-Protocol: {protocols}", "", ""])
        connection.sendall(head.encode())
        answer = connection.recv(1 << 16).partition(b"\r\n\r\n")[0].lower()
    assert answer.startswith(b"http/1.1 101")
    assert b"sec-websocket-protocol: realtime\r\n" in answer + b"\r\n"
    assert KEY.encode() not in answer


def test_a_request_of_an_old_version_without_a_name_is_refused(guarded: Running) -> None:
    with connect(guarded) as connection:
        connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        assert parse(everything(connection))[0] == 400


def test_headers_that_are_too_long_are_refused(guarded: Running) -> None:
    with connect(guarded) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 20_000)
        assert parse(everything(connection))[0] == 400
    assert guarded.client.get("/health").status_code == 200


@pytest.mark.parametrize("begin", [b"", b"GET /health HTTP/1.1\r\nHost: local"])
def test_a_caller_that_does_not_say_what_he_wants_is_left(guarded: Running, begin: bytes) -> None:
    with connect(guarded) as connection:
        connection.sendall(begin)
        assert connection.recv(1) == b""


def test_a_caller_that_dawdles_after_a_first_request_is_left(guarded: Running) -> None:
    with connect(guarded) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = connection.recv(1 << 16)
        assert answer.startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /hea")
        assert everything(connection)[-1:] in (b"", b"}")


def test_a_body_that_does_not_come_is_given_up(guarded: Running) -> None:
    with connect(guarded) as connection:
        connection.sendall(
            b"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
            b"Authorization: Bearer " + KEY.encode() + b"\r\n\r\n{"
        )
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 408")


def test_a_body_that_is_too_large_is_refused_while_it_comes(guarded: Running) -> None:
    """Its answer arrives although the caller goes on sending."""

    def endless() -> Iterator[bytes]:
        for _ in range(64):
            yield bytes(1 << 16)

    for content in (bytes(4 << 20), endless()):
        answer = guarded.client.post("/v1/audio/speech", content=content)
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "too_large"
    assert guarded.client.get("/health").status_code == 200


def test_a_caller_that_leaves_in_the_middle_of_his_body_hurts_nobody(guarded: Running) -> None:
    for _ in range(20):
        with connect(guarded) as connection:
            connection.sendall(
                b"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
                b"Authorization: Bearer " + KEY.encode() + b"\r\n\r\n{"
            )
    assert guarded.client.get("/health").status_code == 200


def test_too_many_connections_are_refused_and_make_room_again(guarded: Running) -> None:
    with contextlib.ExitStack() as opened:
        before = [opened.enter_context(connect(guarded)) for _ in range(8)]
        with connect(guarded) as one_more:
            status, told = parse(everything(one_more))
        assert status == 503
        assert told["error"]["code"] == "too_many_connections"
        assert len(before) == 8
    statuses: list[int] = []
    while 200 not in statuses and len(statuses) < 100:
        with contextlib.suppress(httpx.HTTPError):
            statuses.append(guarded.client.get("/health").status_code)
    assert 200 in statuses


def test_the_log_has_a_line_for_each_request_without_its_query(
    guarded: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "mimo_edge")
    guarded.client.get("/health?token=secret-of-somebody")
    guarded.client.get("/v1/a%0Ab?api_key=secret-of-somebody")
    for _ in range(100):  # a line comes behind the answer
        lines = [record.getMessage() for record in caplog.records]
        if any(line.startswith("GET /v1/a") for line in lines):
            break
        time.sleep(0.05)
    assert any(line.startswith("GET /health: 401, ") for line in lines)
    assert any(line.startswith("GET /v1/a\\nb: 401, ") for line in lines)
    assert "secret" not in caplog.text


def test_all_bodies_together_have_a_limit() -> None:
    limits = Limits(body_bytes=1 << 20, json_bytes=1 << 20, bodies_bytes=3 << 19)
    with running(ServerOptions(port=0, limits=limits)) as server:
        head = (
            "POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
        )
        with connect(server) as first, connect(server) as second:
            for connection in (first, second):
                connection.sendall(head.encode() + bytes(900_000))
            ready, _, _ = select.select([first, second], [], [], 30)
            [refused] = ready  # whichever was read last, and not the other one too
            answer = b""
            while parse(answer)[1] is None:
                answer += refused.recv(1 << 16)
            status, told = parse(answer)
            assert status == 503
            assert told["error"]["code"] == "too_much_at_once"
        speech = {"input": "Hello.", "response_format": "pcm"}
        assert server.client.post("/v1/audio/speech", json=speech).status_code == 200


def test_https_and_wss(tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed, which makes the certificate")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = ["-keyout", str(key), "-out", str(cert), "-subj", "/CN=localhost", "-days", "2"]
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", *made]
    subprocess.run(command, check=True, capture_output=True)
    with running(ServerOptions(port=0, tls_cert=cert, tls_key=key)) as server:
        assert server.url.startswith("https://")
        own = {"Origin": server.url}
        assert server.client.get("/health", headers=own).status_code == 200
        other = {"Origin": server.url.replace("https", "http")}
        assert server.client.get("/health", headers=other).status_code == 403
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        url = server.url.replace("https", "wss") + "/v1/realtime"

        async def first() -> str | bytes:
            # The client of one thread: the blocking one reads and writes a TLS connection in two
            # threads at once, and under load its request got lost once.
            async with websockets.asyncio.client.connect(
                url, ssl=trusting, open_timeout=60, origin=Origin(server.url)
            ) as websocket:
                return await asyncio.wait_for(websocket.recv(), 30)

        assert json.loads(asyncio.run(first()))["type"] == "session.created"


def test_while_the_model_is_loaded_the_server_says_so() -> None:
    may_load = threading.Event()

    def load() -> MimoAudio:
        may_load.wait(60)
        return MimoAudio.load()

    service = Service(load, ServerOptions(port=0))
    listening = listen(service.options)
    server = server_of(service)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with httpx.Client(base_url=url, timeout=60) as client:
            health = client.get("/health")
            assert (health.status_code, health.json()) == (503, {"status": "loading"})
            early = client.post("/v1/audio/speech", json={"input": "Hello."})
            assert early.status_code == 503
            assert early.json()["error"]["code"] == "loading"
            assert int(early.headers["retry-after"]) >= 1
            may_load.set()
            while client.get("/health").status_code != 200:
                pass
    finally:
        may_load.set()
        server.should_exit = True
        thread.join(60)
        listening.close()
    assert not thread.is_alive()


def test_small_pieces_are_sent_at_once() -> None:
    """Nagle's algorithm would hold every piece of sound for 40 ms."""
    with listen(ServerOptions(port=0)) as listening:

        async def is_prompt() -> bool:
            met: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

            def meet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                connection = writer.get_extra_info("socket")
                prompt = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                met.set_result(bool(prompt))
                writer.close()

            async with await asyncio.start_server(meet, sock=listening):
                _, writer = await asyncio.open_connection(*listening.getsockname())
                writer.close()
                return await asyncio.wait_for(met, 30)

        assert asyncio.run(is_prompt())
