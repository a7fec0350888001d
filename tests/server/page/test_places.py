"""Where something is missing: a microphone, a secure address, a key, the connection."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.sync_api import Page, Route, WebSocketRoute, expect

from ..running import Running, running
from .browser import OPTIONS, QUESTIONS, Chromium, said, turns

pytestmark = pytest.mark.browser


def _write(page: Page, text: str) -> None:
    page.fill("#text", text)
    page.press("#text", "Enter")


def _expect_spoken_answer(page: Page, number: int = 0) -> None:
    answer = turns(page, "assistant").nth(number)
    expect(said(answer)).not_to_have_text("")
    expect(answer.locator(".about")).to_contain_text("s of speech")


def test_a_microphone_that_is_not_allowed_is_told_and_writing_works(
    live: Running, chromium: Chromium
) -> None:
    with chromium.open(live.url, allowed=False) as opened:
        page = opened.page
        page.click("#talk")
        expect(page.locator("#notices")).to_contain_text("does not allow the microphone")
        expect(page.locator("#talk")).to_have_attribute("aria-pressed", "false")
        opened.look("not-allowed")
        _write(page, "what is your name")
        expect(said(turns(page, "user"))).to_have_text("what is your name")
        _expect_spoken_answer(page)


def test_an_insecure_address_is_told_and_files_and_writing_work(
    live: Running, chromium: Chromium
) -> None:
    url = live.url.replace("127.0.0.1", "speech.local")
    with chromium.open(url, size="phone", expected="ScriptProcessorNode|Opener-Policy") as opened:
        page = opened.page
        assert not page.evaluate("isSecureContext")
        expect(page.locator("#notices")).to_contain_text("only to pages over https")
        expect(page.locator("#talk")).to_be_disabled()
        opened.look("insecure")
        page.click("text=How to use it from here")
        expect(page.get_by_text("--tls-cert")).to_be_visible()
        opened.look("insecure-how")
        page.click("[data-close]")
        page.set_input_files("#file", QUESTIONS / "sum.flac")
        expect(said(turns(page, "assistant"))).to_have_text("seven plus five is twelve")
        expect(said(turns(page, "user"))).to_have_text("what is seven plus five")
        _expect_spoken_answer(page)
        _write(page, "what is your name")
        _expect_spoken_answer(page, 1)


def test_a_file_that_is_no_sound_is_told(live: Running, chromium: Chromium) -> None:
    with chromium.open(live.url) as opened:
        opened.page.set_input_files("#file", QUESTIONS / "questions.json")
        expect(opened.page.locator("#notices")).to_contain_text("cannot read questions.json")


def test_the_key_is_asked_for_and_never_in_an_address(chromium: Chromium) -> None:
    with (
        running(replace(OPTIONS, api_key="open-sesame")) as server,
        chromium.open(server.url, expected="401") as opened,
    ):
        page = opened.page
        addresses: list[str] = []
        page.on("request", lambda request: addresses.append(request.url))
        page.on("websocket", lambda socket: addresses.append(socket.url))
        page.fill("#key", "wrong")
        page.press("#key", "Enter")
        expect(page.locator("#key-wrong")).to_be_visible()
        opened.look("key")
        page.fill("#key", "open-sesame")
        page.press("#key", "Enter")
        expect(page.locator("#key-dialog")).not_to_be_visible()
        _write(page, "what is your name")
        _expect_spoken_answer(page)
        assert any(address.startswith("ws:") for address in addresses)
        assert not [address for address in addresses if "sesame" in address]
        page.reload()  # the tab remembers it
        expect(page.locator("#model")).to_have_text("MiMo-Audio-Demo")


def test_a_lost_connection_is_told_and_comes_back_with_what_was_said(
    live: Running, chromium: Chromium
) -> None:
    sockets: list[WebSocketRoute] = []
    sent: list[str] = []

    def through(socket: WebSocketRoute) -> None:
        sockets.append(socket)
        server = socket.connect_to_server()

        def forward(message: str | bytes) -> None:
            sent.append(str(message))
            server.send(message)

        socket.on_message(forward)

    with chromium.open(live.url) as opened:
        page = opened.page
        page.route_web_socket("**/v1/realtime", through)
        _write(page, "what is your name")
        _expect_spoken_answer(page)
        answer = said(turns(page, "assistant")).inner_text()
        page.click("#talk")
        expect(page.locator("#talk")).to_have_attribute("data-phase", "idle")
        sent.clear()
        sockets[0].close(code=1011, reason="a mistake")
        expect(page.locator("#notices")).to_contain_text("connection to the server is lost")
        expect(page.locator("#state")).to_have_text("Connected")
        expect(page.locator("#notices")).not_to_contain_text("lost")
        assert len(sockets) == 2
        told = [message for message in sent if "conversation.item.create" in message]
        assert "what is your name" in told[0]
        assert answer in told[1]


def test_a_server_that_does_not_answer_is_told(live: Running, chromium: Chromium) -> None:
    def refuse(route: Route) -> None:
        route.abort()

    with chromium.open(live.url, expected="ERR_FAILED") as opened:
        page = opened.page
        page.route("**/health", refuse)
        page.reload()
        expect(page.locator("#notices")).to_contain_text("The server does not answer")
        opened.look("no-answer")
        page.unroute("**/health")
        page.click("text=Try again")
        expect(page.locator("#state")).to_have_text("Ready")
