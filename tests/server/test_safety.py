"""Who may ask, over HTTP and websockets: the name and the page; and how much."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from mimo_edge.errors import BadInputError
from mimo_edge.server.options import ServerOptions

from .guarded import BEARER, KEY, realtime, refused, serving


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


def test_no_page_may_read_answers_unless_it_is_named(local: TestClient, keyed: TestClient) -> None:
    answer = local.get("/v1/models", headers={"Origin": "https://app.example"})
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert "access-control-allow-credentials" not in answer.headers
    own = local.get("/v1/models", headers={"Origin": "http://127.0.0.1:8000"})
    assert "access-control-allow-origin" not in own.headers
    other = local.get("/v1/models", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers
    assert "access-control-allow-origin" not in keyed.get("/v1/models", headers=BEARER).headers


@pytest.mark.parametrize("name", ["https://a.example", "a.example:8000", "bücher.example", "*", ""])
def test_what_is_no_name_of_a_server_is_refused(name: str) -> None:
    with pytest.raises(BadInputError, match=re.escape(f"{name!r} is no name")):
        ServerOptions(allowed_hosts=(name,))


@pytest.mark.parametrize(
    ("declared", "origin"),
    [
        ("https://App.example", "https://app.example"),
        ("HTTPS://app.example:443", "https://app.example"),
        (" https://app.example:8443/", "https://app.example:8443"),
        ("http://[::1]:80/", "http://[::1]"),
        ("chrome-extension://abc/", "chrome-extension://abc"),
    ],
)
def test_a_page_may_be_named_as_people_write_it(declared: str, origin: str) -> None:
    with serving(ServerOptions(allowed_origins=(declared,))) as client:
        assert refused(client, {"Origin": origin}) == [(200, "")] * 2
        answer = client.get("/v1/models", headers={"Origin": origin})
        assert answer.headers["access-control-allow-origin"] == origin


@pytest.mark.parametrize(
    "name", ["app.example", "https://app.example/page", "https://bücher.example", "null", ""]
)
def test_what_is_no_page_cannot_be_named(name: str) -> None:
    with pytest.raises(BadInputError, match=f"{name!r} is no origin"):
        ServerOptions(allowed_origins=(name,))


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
    assert "guarded.py" in caplog.text
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
