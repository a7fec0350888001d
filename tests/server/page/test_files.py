"""The page's files, as a browser asks for them."""

from __future__ import annotations

import re

import httpx

from mimo_edge.server.options import ServerOptions

from ..running import running


def test_the_page_is_served_without_a_key_and_from_this_server_alone() -> None:
    with running(ServerOptions(port=0, api_key="secret-key")) as server:
        page = httpx.get(server.url)
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        links = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
        assert links
        for link in links:
            assert link.startswith("/page/"), link
            assert httpx.get(server.url + link).status_code == 200


def test_modules_are_sent_as_javascript_and_checked_for_news(client: httpx.Client) -> None:
    first = client.get("/page/app.mjs")
    assert first.headers["content-type"].startswith("text/javascript")
    again = client.get("/page/app.mjs", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304


def test_nothing_beside_the_page_is_sent(client: httpx.Client) -> None:
    for path in ("/page/../__init__.py", "/page/%2e%2e/__init__.py", "/page/", "/page/logic"):
        assert client.get(path).status_code == 404


def test_a_server_may_have_no_page() -> None:
    with running(ServerOptions(port=0, page=False)) as server:
        assert server.client.get("/").status_code == 404
