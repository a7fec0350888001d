"""Who may ask, over HTTP and websockets: the key, the name, the page; and how much."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.types import Scope
from starlette.websockets import WebSocket

from mimo_edge.errors import MimoEdgeError
from mimo_edge.server.options import Limits, ServerOptions
from mimo_edge.server.safety import protected
from mimo_edge.server.sharing.metrics import Metrics

KEY = "right-key-of-this-test"
BEARER = {"Authorization": f"Bearer {KEY}"}


async def models(request: Request) -> Response:
    return JSONResponse({"headers": [name for name, _ in request.headers.items()]})


async def body(request: Request) -> Response:
    return JSONResponse({"bytes": len(await request.body())})


async def broken(request: Request) -> Response:
    raise KeyError("what somebody said")


async def half(request: Request) -> Response:
    async def pieces() -> Any:
        yield b"half"
        raise KeyError("what somebody said")

    return StreamingResponse(pieces())


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_json(
        {"offered": websocket.scope["subprotocols"], "headers": [*websocket.headers]}
    )
    if await websocket.receive_text() == "break":
        raise KeyError("what somebody said")
    await websocket.close()


@contextmanager
def serving(options: ServerOptions, *, url: str = "http://127.0.0.1:8000") -> Iterator[TestClient]:
    handlers: dict[str, Callable[[Request], Any]] = {
        "/v1/models": models,
        "/health": models,
        "/body": body,
        "/broken": broken,
        "/half": half,
    }
    app = Starlette(
        routes=[
            *(Route(path, handler, methods=["GET", "POST"]) for path, handler in handlers.items()),
            WebSocketRoute("/v1/realtime", echo),
        ]
    )

    def is_public(scope: Scope) -> bool:
        return str(scope["path"]) == "/health"

    safe = protected(app, options, Metrics(), is_public)
    with TestClient(safe, base_url=url, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def local() -> Iterator[TestClient]:
    """A server of this machine, without a key."""
    options = ServerOptions(
        allowed_hosts=("speech.example", "*.home.example"),
        allowed_origins=("https://app.example", "chrome-extension://abc"),
        limits=Limits(body_bytes=1000, bodies_bytes=1500),
    )
    with serving(options) as client:
        yield client


@pytest.fixture(scope="module")
def keyed() -> Iterator[TestClient]:
    """A server in the network, with a key."""
    with serving(ServerOptions(host="0.0.0.0", api_key=KEY)) as client:
        yield client


def realtime(client: TestClient) -> str:
    """Starlette's client takes another base for websockets unless the address is whole."""
    scheme = "wss" if client.base_url.scheme == "https" else "ws"
    return str(client.base_url.copy_with(scheme=scheme, path="/v1/realtime"))


def refused(client: TestClient, headers: Any, **more: Any) -> list[tuple[int, str]]:
    """(status, code) of the refusal over HTTP and of a websocket; (200, "") if there was none."""
    headers, query = httpx.Headers(headers), more.get("query", "")
    asked = client.get("/v1/models" + query, headers=headers)
    said = [(asked.status_code, "" if asked.is_success else asked.json()["error"]["code"])]
    try:
        with client.websocket_connect(
            realtime(client) + query, headers=headers, subprotocols=more.get("offer")
        ) as websocket:
            websocket.receive_json()
            websocket.send_text("end")
        said.append((200, ""))
    except WebSocketDenialResponse as denial:
        said.append((denial.status_code, denial.json()["error"]["code"]))
    return said


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:8000",
        "192.168.178.20:8000",
        "[::1]:8000",
        "[fe80::1]",
        "localhost",
        "LOCALHOST.:8000",
        "laptop.local:8000",
        "speech.example",
        "Speech.Example.:443",
        "a.home.example:1",
    ],
)
def test_a_name_of_this_server_is_answered(local: TestClient, host: str) -> None:
    assert refused(local, {"Host": host}) == [(200, "")] * 2


@pytest.mark.parametrize(
    ("host", "status", "code"),
    [
        ("evil.example", 403, "host_not_allowed"),
        ("evil.example:8000", 403, "host_not_allowed"),
        ("localhost.evil.example", 403, "host_not_allowed"),
        ("127.0.0.1.evil.example", 403, "host_not_allowed"),
        ("evillocal", 403, "host_not_allowed"),
        ("evilhome.example", 403, "host_not_allowed"),
        ("home.example", 403, "host_not_allowed"),
        ("", 400, "bad_host"),
        (" ", 400, "bad_host"),
        (":8000", 400, "bad_host"),
        ("localhost:", 400, "bad_host"),
        ("localhost:80000", 400, "bad_host"),
        ("localhost:8000:1", 400, "bad_host"),
        ("[::1", 400, "bad_host"),
        ("[::1]x", 400, "bad_host"),
        ("[localhost]", 400, "bad_host"),
        ("[fe80::1%25eth0]", 400, "bad_host"),
        ("user@localhost", 400, "bad_host"),
        ("localhost/x", 400, "bad_host"),
        ("local host", 400, "bad_host"),
        ("localhost,evil.example", 400, "bad_host"),
        ("-", 400, "bad_host"),
        ("a" * 64 + ".local", 400, "bad_host"),
    ],
)
def test_another_name_is_refused(local: TestClient, host: str, status: int, code: str) -> None:
    """A page whose name was made to point here says so in `Host`."""
    assert refused(local, {"Host": host}) == [(status, code)] * 2


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("localhost", "http://localhost"),
        ("localhost:80", "http://localhost"),
        ("localhost", "http://LOCALHOST:80"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("localhost:8000", "https://app.example"),
        ("localhost:8000", "https://app.example:443"),
        ("localhost:8000", "chrome-extension://abc"),
    ],
)
def test_the_own_page_and_named_ones_are_answered(
    local: TestClient, host: str, origin: str
) -> None:
    assert refused(local, {"Host": host, "Origin": origin}) == [(200, "")] * 2


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "https://evil.example",
        "http://localhost:8001",
        "https://localhost:8000",
        "http://127.0.0.1:8000",
        "http://localhost:8000.evil.example",
        "http://localhost:8000/",
        "http://app.example",
        "https://app.example:444",
        "https://x.app.example",
        "chrome-extension://abcd",
        "file://",
        "localhost:8000",
        "*",
    ],
)
def test_another_page_is_refused(local: TestClient, origin: str) -> None:
    headers = {"Host": "localhost:8000", "Origin": origin}
    assert refused(local, headers) == [(403, "origin_not_allowed")] * 2


def test_a_page_of_a_rebound_name_is_refused(local: TestClient) -> None:
    """Its origin is equal to `Host`, which therefore is no check by itself."""
    headers = {"Host": "evil.example:8000", "Origin": "http://evil.example:8000"}
    assert refused(local, headers) == [(403, "host_not_allowed")] * 2


def test_behind_tls_the_own_page_is_https() -> None:
    with serving(ServerOptions(), url="https://localhost") as client:
        assert refused(client, {"Origin": "https://localhost"}) == [(200, "")] * 2
        assert refused(client, {"Origin": "http://localhost"}) == [(403, "origin_not_allowed")] * 2


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "invalid_api_key"),
        ({"Authorization": "Bearer wrong"}, 401, "invalid_api_key"),
        ({"Authorization": f"Bearer {KEY}x"}, 401, "invalid_api_key"),
        ({"Authorization": f"Bearer {KEY[:-1]}"}, 401, "invalid_api_key"),
        ({"Authorization": f"Basic {KEY}"}, 401, "invalid_api_key"),
        ({"Authorization": KEY}, 401, "invalid_api_key"),
        ({"Authorization": "Bearer"}, 401, "invalid_api_key"),
        ({"Api-Key": KEY, "X-Api-Key": KEY}, 401, "invalid_api_key"),
        (BEARER, 200, ""),
        ({"authorization": f"bearer  {KEY} "}, 200, ""),
    ],
)
def test_the_key_in_the_header(keyed: TestClient, headers: Any, status: int, code: str) -> None:
    assert refused(keyed, headers) == [(status, code)] * 2


@pytest.mark.parametrize(
    ("offer", "headers", "status"),
    [
        (["realtime", f"openai-insecure-api-key.{KEY}", "openai-agents-sdk.0.9"], {}, 200),
        (["realtime", "openai-insecure-api-key.wrong"], {}, 401),
        (["realtime", "openai-insecure-api-key."], {}, 401),
        (["realtime", KEY], {}, 401),
        (["realtime", "openai-insecure-api-key.wrong", f"openai-insecure-api-key.{KEY}"], {}, 401),
        (["realtime", "openai-insecure-api-key.wrong"], BEARER, 401),
        (["realtime", f"openai-insecure-api-key.{KEY}"], {"Authorization": "Bearer wrong"}, 401),
        (["realtime", f"openai-insecure-api-key.{KEY}"], BEARER, 200),
    ],
)
def test_the_key_as_browsers_send_it(
    keyed: TestClient, offer: list[str], headers: dict[str, str], status: int
) -> None:
    assert refused(keyed, headers, offer=offer)[1][0] == status


def test_realtime_alone_is_agreed_on_and_the_key_goes_no_further(keyed: TestClient) -> None:
    offer = ["realtime", f"openai-insecure-api-key.{KEY}", "openai-agents-sdk.0.9"]
    with keyed.websocket_connect(realtime(keyed), subprotocols=offer) as websocket:
        assert websocket.accepted_subprotocol == "realtime"
        said = websocket.receive_json()
        assert said["offered"] == ["realtime", "openai-agents-sdk.0.9"]
        websocket.send_text("end")
    assert "authorization" not in keyed.get("/v1/models", headers=BEARER).json()["headers"]


@pytest.mark.parametrize("name", ["api_key", "API-KEY", "key", "token", "access_token"])
def test_a_key_in_the_address_is_refused_and_not_repeated(
    keyed: TestClient, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "mimo_edge")
    query = f"?model=x&{name}={KEY}"
    assert refused(keyed, BEARER, query=query) == [(401, "key_in_query")] * 2
    assert KEY not in keyed.get("/v1/models" + query).text
    assert KEY not in caplog.text


def test_what_is_public_needs_no_key(keyed: TestClient) -> None:
    assert keyed.get("/health").status_code == 200
    assert keyed.get("/health", headers={"Host": "evil.example"}).status_code == 403
    assert keyed.post("/v1/models").status_code == 401
    assert keyed.get("/v1/nothing").status_code == 401


@pytest.mark.parametrize(
    "wrong",
    [
        {"host": "0.0.0.0"},
        {"host": "::"},
        {"host": "192.168.0.2"},
        {"host": "laptop"},
        {"host": ""},
        {"api_key": "short"},
        {"api_key": "with a blank in it"},
        {"api_key": "größer-als-ascii"},
        {"allowed_origins": ("*",)},
    ],
)
def test_a_server_that_anybody_could_use_does_not_start(wrong: dict[str, Any]) -> None:
    with pytest.raises(MimoEdgeError, match="key"):
        ServerOptions(**wrong)


def test_the_key_is_not_shown_with_the_options() -> None:
    assert KEY not in repr(ServerOptions(api_key=KEY))


def test_no_page_may_read_answers_unless_it_is_named(local: TestClient, keyed: TestClient) -> None:
    answer = local.get("/v1/models", headers={"Origin": "https://app.example"})
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert "access-control-allow-credentials" not in answer.headers
    own = local.get("/v1/models", headers={"Origin": "http://127.0.0.1:8000"})
    assert "access-control-allow-origin" not in own.headers
    other = local.get("/v1/models", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers
    assert "access-control-allow-origin" not in keyed.get("/v1/models", headers=BEARER).headers


def test_a_browser_may_ask_whether_it_may_send_a_key() -> None:
    options = ServerOptions(api_key=KEY, allowed_origins=("https://app.example",))
    asks = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
        "Access-Control-Request-Private-Network": "true",
    }
    with serving(options) as client:
        answer = client.options("/v1/models", headers=asks)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert "authorization" in answer.headers["access-control-allow-headers"]
        assert answer.headers["access-control-allow-private-network"] == "true"
        refused = client.options("/v1/models", headers={**asks, "Origin": "https://evil.example"})
        assert refused.status_code == 403
        # Without the answer's headers a browser would not show the page why it failed.
        wrong = client.get("/v1/models", headers={"Origin": "https://app.example"})
        assert wrong.status_code == 401
        assert wrong.headers["access-control-allow-origin"] == "https://app.example"


def test_answers_say_what_a_browser_may_do_with_them(local: TestClient) -> None:
    headers = local.get("/v1/models").headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    refusal = local.get("/v1/models", headers={"Host": "evil.example"})
    assert refusal.headers["x-content-type-options"] == "nosniff"


def test_a_body_that_is_too_large_is_refused(local: TestClient) -> None:
    def unsaid(size: int) -> Iterator[bytes]:
        for _ in range(size // 100):
            yield bytes(100)

    assert local.post("/body", content=bytes(1000)).json() == {"bytes": 1000}
    assert local.post("/body", content=unsaid(1000)).json() == {"bytes": 1000}
    assert local.post("/body", content=bytes(1001)).status_code == 413
    assert local.post("/body", content=b"", headers={"Content-Length": "9" * 30}).status_code == 413


def test_a_mistake_ends_one_request_and_tells_the_log_no_text(
    local: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = local.get("/broken")
    assert answer.status_code == 500
    assert "test_safety.py" in caplog.text
    assert "in broken" in caplog.text
    with local.websocket_connect(realtime(local)) as websocket:
        websocket.receive_json()
        websocket.send_text("break")
        assert websocket.receive()["code"] == 1011
    assert "KeyError" in caplog.text
    assert "what somebody said" not in caplog.text
    assert local.get("/v1/models").status_code == 200


def test_a_log_that_may_hold_text_says_what_was_wrong(caplog: pytest.LogCaptureFixture) -> None:
    with serving(ServerOptions(log_text=True)) as client:
        assert client.get("/broken").status_code == 500
    assert "what somebody said" in caplog.text
