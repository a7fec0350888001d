"""Several servers behind nginx, with the configuration that is shipped."""

from __future__ import annotations

import base64
import contextlib
import http.server
import re
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mimo_edge.audio import read_at
from mimo_edge.dialogue.model_events import Ended, Failed, Told
from mimo_edge.errors import MimoEdgeError
from mimo_edge.remote.address import ServerAddress, realtime_url
from mimo_edge.remote.client_events import RATE, RemoteSettings
from mimo_edge.remote.opening import open_session
from mimo_edge.server.options import Limits, ServerOptions
from mimo_edge.tasks import Overrides
from tests.remote.conversing import conversing, eventually

from ..running import Running, running
from .balancer import Balancer, balancer

QUESTIONS = Path(__file__).parents[2] / "data" / "demo"
KEY = "secret-of-these-tests"
OPTIONS = ServerOptions(
    port=0,
    api_key=KEY,
    overrides=Overrides(seed=2, max_new_tokens=120),
    limits=Limits(conversations=4),
)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Running, Running]]:
    with running(OPTIONS) as first, running(OPTIONS) as second:
        yield first, second


@pytest.fixture(scope="module")
def site(
    servers: tuple[Running, Running], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Balancer]:
    ports = [int(server.url.rpartition(":")[2]) for server in servers]
    with balancer(tmp_path_factory.mktemp("nginx"), *ports) as site:
        yield site


@contextlib.contextmanager
def caller(site: Balancer, number: int = 1, **options: Any) -> Iterator[httpx.Client]:
    """A program at an address of its own: all of 127.0.0.0/8 are this machine."""
    transport = httpx.HTTPTransport(verify=site.tls, local_address=f"127.0.0.{number}")
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(
        base_url=site.url, headers=headers, transport=transport, timeout=60, **options
    ) as client:
        yield client


def counts(server: Running, name: str) -> float:
    """The sum of a metric over its labels."""
    text = server.client.get("/metrics").text
    return sum(
        float(value) for value in re.findall(rf"^mimo_edge_{name}(?:{{.*}})? (\S+)$", text, re.M)
    )


def question(name: str) -> dict[str, Any]:
    data = base64.b64encode((QUESTIONS / f"{name}.flac").read_bytes()).decode()
    audio = {"data": data, "format": "flac"}
    return {"role": "user", "content": [{"type": "input_audio", "input_audio": audio}]}


def chat(client: httpx.Client, *messages: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(
        "/v1/chat/completions",
        json={
            "model": "mimo",
            "messages": messages,
            "modalities": ["text", "audio"],
            "audio": {"format": "wav", "voice": "alloy"},
        },
    )
    assert answer.status_code == 200, answer.text
    message: dict[str, Any] = answer.json()["choices"][0]["message"]
    return message


def test_a_conversation_by_audio_ids_stays_on_one_server(site: Balancer) -> None:
    """The other server does not know the sound that was answered."""
    for number in (11, 12, 13):
        with caller(site, number) as client:
            said = chat(client, question("color"))
            spoken = {"role": "assistant", "audio": {"id": said["audio"]["id"]}}
            again = chat(client, question("color"), spoken, question("memory"))
        assert again["audio"]["transcript"].strip() == "you said what color is the sky"


def test_callers_are_spread_over_the_servers(
    site: Balancer, servers: tuple[Running, Running]
) -> None:
    """Every address has its server, and both have some."""
    where: dict[int, set[str]] = {}
    lines = re.compile(r"^127\.0\.0\.(\d+) .* /v1/models 200 .* (\S+)$", re.MULTILINE)
    for number in range(20, 40):
        with caller(site, number) as client:
            for _ in range(2):
                assert client.get("/v1/models").status_code == 200
    eventually(lambda: len(lines.findall(site.logged())) >= 40)
    for number, place in lines.findall(site.logged()):
        where.setdefault(int(number), set()).add(place)
    own = [where[number] for number in range(20, 40)]
    assert all(len(servers) == 1 for servers in own)
    assert len(Counter(min(servers) for servers in own)) == 2


def test_browsers_have_a_cookie_of_the_page(site: Balancer) -> None:
    with caller(site, 41) as client:
        page = client.get("/")
        assert page.status_code == 200 and "text/html" in page.headers["content-type"]
        cookie = page.headers["set-cookie"].lower()
        assert cookie.startswith("mimo_edge=")
        assert all(word in cookie for word in ("httponly", "secure", "samesite=strict"))
        own = {"Origin": site.url}
        assert client.get("/v1/models", headers=own).status_code == 200
        assert "set-cookie" not in client.get("/v1/models").headers
        foreign = {"Origin": "https://elsewhere.example"}
        assert client.get("/v1/models", headers=foreign).status_code == 403


def test_talking_through_it(site: Balancer, servers: tuple[Running, Running]) -> None:
    before = [counts(server, "conversations_begun_total") for server in servers]
    address = ServerAddress(url=realtime_url(site.url), api_key=KEY, ca=site.certificate)
    with conversing(address) as mine:
        for turn, name in enumerate(("color", "memory"), start=1):
            mine.model.answer(turn, read_at(QUESTIONS / f"{name}.flac", RATE).samples)
            mine.wait_for(Ended, 60)
    assert mine.text(2).strip() == "you said what color is the sky"
    assert not mine.of(Told) and not mine.of(Failed)
    after = [counts(server, "conversations_begun_total") for server in servers]
    assert sum(after) == sum(before) + 1


def test_certificates(site: Balancer, servers: tuple[Running, Running]) -> None:
    url = realtime_url(site.url)
    with pytest.raises(MimoEdgeError, match=r"certificate of .* is not trusted") as raised:
        open_session(ServerAddress(url=url, api_key=KEY), RemoteSettings())
    assert raised.value.about == "authority"
    anyone = ServerAddress(url=url, api_key=KEY, insecure=True)
    open_session(anyone, RemoteSettings()).connection.close()
    plain = ServerAddress(url=url.replace("wss://", "ws://"), api_key=KEY)
    with pytest.raises(MimoEdgeError, match="refuses: it answers 400"):
        open_session(plain, RemoteSettings())
    without_tls = realtime_url(servers[0].url).replace("ws://", "wss://")
    with pytest.raises(MimoEdgeError, match="does not speak TLS"):
        open_session(ServerAddress(url=without_tls, api_key=KEY), RemoteSettings())


def test_refusals_are_the_servers_own(site: Balancer) -> None:
    with caller(site) as client:
        wrong = client.get("/v1/models", headers={"Authorization": "Bearer wrong-key"})
        assert wrong.status_code == 401 and wrong.json()["error"]["message"]
        assert client.get("/metrics").status_code == 404
        assert client.get(f"/v1/models?api_key={KEY}").status_code == 400
        assert client.get("/v1/nothing").json()["error"]["message"]


def test_no_log_has_a_key_or_a_word(site: Balancer) -> None:
    with caller(site) as client:
        client.get(f"/v1/models?api_key={KEY}&prompt=hello")
        client.post("/v1/audio/speech", json={"input": "hello there", "voice": "alloy"})
    eventually(lambda: "/v1/audio/speech" in site.logged())
    logged = site.logged()
    assert KEY not in logged and "hello" not in logged and "Bearer" not in logged


def test_a_server_that_is_gone_is_left_out(
    servers: tuple[Running, Running], tmp_path: Path
) -> None:
    with running(OPTIONS) as gone:
        port = int(gone.url.rpartition(":")[2])
    with balancer(tmp_path, port, int(servers[0].url.rpartition(":")[2])) as site:
        for number in range(50, 60):
            with caller(site, number) as client:
                assert client.get("/v1/models").status_code == 200


def test_what_is_made_passes_at_once(tmp_path: Path) -> None:
    """Both ways: nothing waits in nginx for the rest of it."""
    halves = _Halves()
    with halves.serving() as port, balancer(tmp_path, port) as site, caller(site) as client:

        def body() -> Iterator[bytes]:
            yield b"first"
            assert halves.came.wait(30), "the server did not get the beginning"
            yield b"second"

        with client.stream("POST", "/v1/audio/speech", content=body()) as answer:
            pieces = answer.iter_raw()
            assert next(pieces) == b"one"
            halves.heard.set()  # else the rest does not come
            assert b"".join(pieces) == b"two"


class _Halves:
    """A server that waits in the middle until it was heard."""

    def __init__(self) -> None:
        self.came, self.heard = threading.Event(), threading.Event()

    @contextlib.contextmanager
    def serving(self) -> Iterator[int]:
        halves = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self._chunk_of_body()
                halves.came.set()
                self._chunk_of_body()
                self._chunk_of_body()
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.write(b"3\r\none\r\n")
                self.wfile.flush()
                halves.heard.wait(30)
                self.wfile.write(b"3\r\ntwo\r\n0\r\n\r\n")

            def _chunk_of_body(self) -> None:
                self.rfile.read(int(self.rfile.readline(), 16))
                self.rfile.readline()

            def log_message(self, *_: Any) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            server.server_close()
            thread.join(10)
