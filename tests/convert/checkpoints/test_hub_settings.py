"""Tokens, endpoints, proxies and caches: what cannot work is one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools.hub_client import (
    download,
    refusal,
)
from tests.tools.hub_server import Hub


def test_the_token_reaches_the_hub_and_no_other_host(hub: Hub, tmp_path: Path) -> None:
    assert download(hub, tmp_path / "home", HF_TOKEN="hf_secret")[0] == 0
    assert hub.tokens == {"hub": {"Bearer hf_secret"}, "cdn": {""}}


def test_no_connection(hub: Hub, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert "offline mode forbids the download" in refusal(hub, home, HF_HUB_OFFLINE="1")
    nobody = "http://127.0.0.1:9"
    assert "check the connection" in refusal(hub, home, HF_ENDPOINT=nobody)
    status, path = download(hub, home)
    assert status == 0
    assert download(hub, home, HF_ENDPOINT=nobody) == (0, path)


def test_a_server_that_is_no_hub(hub: Hub, tmp_path: Path) -> None:
    elsewhere = {"Location": hub.url + "/login"}
    html = {"Content-Type": "text/html"}
    login = b"<html><title>Please log in</title></html>"
    for page, words in (
        ((200, html, login), "is not a hub"),
        ((200, {"Content-Type": "application/json"}, b"[]"), "is not a hub"),
        ((200, {"Content-Type": "application/json"}, b"{}"), "is not a hub"),
        ((302, elsewhere, b""), "check the connection"),
        ((429, {"Retry-After": "0"}, b""), "was asked too often"),
        ((502, html, login), "answered with status 502"),
    ):
        hub.page = page
        assert words in refusal(hub, tmp_path / "home")


@pytest.mark.parametrize("token", ["hf_ab cd", "hf_ü", "hf_\t1", "hf_\x7f", "\udce9"])
def test_odd_tokens(both: Hub, tmp_path: Path, token: str) -> None:
    text = refusal(both, tmp_path / "home", HF_TOKEN=token)
    assert "holds spaces or characters that no token has" in text and token not in text


def test_a_token_with_the_end_of_its_line(hub: Hub, tmp_path: Path) -> None:
    assert download(hub, tmp_path / "home", HF_TOKEN=" hf_secret\r\n")[0] == 0
    assert hub.tokens["hub"] == {"Bearer hf_secret"}


def test_a_token_file_that_cannot_be_read(both: Hub, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_bytes(b"\xff\xfe\x00")
    assert f"the token in {file} cannot be read" in refusal(
        both, tmp_path / "home", HF_TOKEN_PATH=str(file)
    )


@pytest.mark.parametrize(
    "endpoint", ["huggingface.co", "ftp://x", "http://", "http://[::1", "http://a:b", "https://a b"]
)
def test_odd_endpoints(both: Hub, tmp_path: Path, endpoint: str) -> None:
    text = refusal(both, tmp_path / "home", HF_ENDPOINT=endpoint)
    assert text.startswith(f"HF_ENDPOINT is {endpoint!r}; give the address of a hub")


def test_odd_settings_of_the_library(both: Hub, tmp_path: Path) -> None:
    """Loading huggingface_hub fails, and says so itself before our sentence."""
    status, text = download(both, tmp_path / "home", HF_HUB_ETAG_TIMEOUT="soon")
    assert status == 3
    assert text.splitlines()[-1].startswith("the settings of the hub in the environment (HF_…)")


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        ("socks5://127.0.0.1:9", "the proxy that is set"),
        ("http://127.0.0.1:9", "the proxy that is set"),
        ("foo://127.0.0.1:9", "the proxy settings"),
    ],
)
def test_proxies_that_do_not_answer(both: Hub, tmp_path: Path, proxy: str, words: str) -> None:
    nowhere = "http://hub.invalid"
    assert words in refusal(
        both, tmp_path / "home", ALL_PROXY=proxy, NO_PROXY="", HF_ENDPOINT=nowhere
    )


def test_a_cache_that_cannot_be_written(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    text = refusal(hub, tmp_path / "file")
    assert "in the cache cannot be written" in text and "set HF_HOME to a folder of yours" in text
