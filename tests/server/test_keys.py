"""Whoever asks has the key, over HTTP and websockets, and it is shown to nobody."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from starlette.testclient import TestClient

from mimo_edge.errors import MimoEdgeError
from mimo_edge.server.options import ServerOptions

from .guarded import BEARER, KEY, realtime, refused


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
