"""Where a server is, and which key it gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimo_edge.errors import MimoEdgeError
from mimo_edge.remote.address import ServerAddress, key_for, realtime_url

OPENAI = "wss://api.openai.com/v1/realtime?model=gpt-realtime"


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("localhost:8000", "ws://localhost:8000/v1/realtime"),
        ("http://host:8000", "ws://host:8000/v1/realtime"),
        ("http://host:8000/", "ws://host:8000/v1/realtime"),
        ("https://host/v1", "wss://host/v1/realtime"),
        ("https://host/v1/", "wss://host/v1/realtime"),
        ("https://host/behind/a/proxy", "wss://host/behind/a/proxy/v1/realtime"),
        ("HTTP://[::1]:8000", "ws://[::1]:8000/v1/realtime"),
        ("ws://host/v1/realtime?model=x", "ws://host/v1/realtime?model=x"),
        ("ws://host/v1/realtime?model=a%2Fb#part", "ws://host/v1/realtime?model=a%2Fb"),
        ("https://api.openai.com/v1", OPENAI),
        (OPENAI, OPENAI),
    ],
)
def test_forms_of_an_address(written: str, url: str) -> None:
    assert realtime_url(written) == url


def test_the_model_is_part_of_the_address() -> None:
    assert realtime_url("host", "a b") == "ws://host/v1/realtime?model=a%20b"
    assert realtime_url("ws://host/v1/realtime?model=x&y=1", "z").endswith("?model=z&y=1")


@pytest.mark.parametrize(
    "written",
    ["", "http://", "ftp://host", "http://host:port", "a b", "http://host:99999", "ws://a\0b"],
)
def test_what_is_no_address(written: str) -> None:
    with pytest.raises(MimoEdgeError, match="is no address"):
        realtime_url(written)


@pytest.mark.parametrize("written", ["http://a..b", "a" * 64 + ".org:8000"])
def test_a_name_that_cannot_be_looked_up(written: str) -> None:
    with pytest.raises(MimoEdgeError, match="names no server: between two dots"):
        realtime_url(written)


def test_a_key_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(MimoEdgeError) as raised:
        realtime_url("https://me:sk-secret@host")
    assert "sk-secret" not in str(raised.value)


def test_every_server_sees_its_own_key_only() -> None:
    both = {"OPENAI_API_KEY": "theirs", "MIMO_EDGE_API_KEY": "mine"}
    assert key_for(OPENAI, None, both) == "theirs"
    assert key_for("ws://host/v1/realtime", None, both) == "mine"
    assert key_for("wss://api.openai.com.evil.org/v1/realtime", None, both) == "mine"
    assert key_for("ws://host/v1/realtime", None, {"OPENAI_API_KEY": "theirs"}) is None
    assert key_for(OPENAI, None, {"MIMO_EDGE_API_KEY": "mine"}) is None
    assert key_for(OPENAI, "given", both) == "given"
    assert "given" not in repr(ServerAddress(url=OPENAI, api_key="given"))


def test_a_key_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("secret\n")
    assert key_for("ws://host/", file, {"MIMO_EDGE_API_KEY": "other"}) == "secret"
    file.write_text("secret\n", "utf-8-sig")  # as Notepad may save it
    assert key_for("ws://host/", file, {}) == "secret"
    for content in ("", "\n", "se\ncret", "schlüssel"):
        file.write_text(content)
        with pytest.raises(MimoEdgeError, match="is no key") as raised:
            key_for("ws://host/", file, {})
        assert not content.strip() or content not in str(raised.value)
    with pytest.raises(MimoEdgeError, match="cannot be read"):
        key_for("ws://host/", tmp_path / "missing", {})


def test_options_of_a_certificate_need_one() -> None:
    for options in ({"insecure": True}, {"ca": Path("ca.pem")}):
        with pytest.raises(MimoEdgeError, match="https://"):
            ServerAddress(url="ws://host/v1/realtime", **options)
        ServerAddress(url="wss://host/v1/realtime", **options)


@pytest.mark.parametrize(
    ("url", "here"),
    [("ws://localhost:1/", True), ("ws://127.0.0.9/", True), ("ws://[::1]/", True), ("ws://h/", 0)],
)
def test_this_machine(url: str, here: bool) -> None:
    assert ServerAddress(url=url).is_here == here
