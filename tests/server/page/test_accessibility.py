"""The page for everybody: axe-core finds nothing serious, in both themes and every state."""

from __future__ import annotations

from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from ..running import Running
from .browser import QUESTIONS, Chromium, Size, turns

pytestmark = pytest.mark.browser


def _serious(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [
        f"{fault['id']}: {node['html']}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_no_serious_fault(
    live: Running, chromium: Chromium, theme: Literal["dark", "light"], size: Size
) -> None:
    with chromium.open(live.url, theme=theme, size=size, calm=True) as opened:
        page = opened.page
        expect(page.locator("#state")).to_have_text("Ready")
        assert not _serious(page)
        opened.look(f"{size}-{theme}-idle")
        assert page.evaluate("document.documentElement.scrollWidth") <= page.evaluate("innerWidth")

        page.set_input_files("#file", QUESTIONS / "sum.flac")
        expect(turns(page, "assistant").locator(".about")).to_contain_text("s of speech")
        page.click("#talk")
        expect(page.locator("#talk")).to_have_attribute("aria-pressed", "true")
        assert not _serious(page)
        opened.look(f"{size}-{theme}-conversation")

        page.click("#open-settings")
        page.click("text=Add a voice")
        page.click("text=Use it from a phone")
        assert not _serious(page)
        opened.look(f"{size}-{theme}-settings")


def test_the_theme_is_the_systems_until_the_person_chooses(
    live: Running, chromium: Chromium
) -> None:
    def ground(page: Page) -> str:
        colour: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return colour

    with chromium.open(live.url, theme="dark") as opened:
        page = opened.page
        dark = ground(page)
        page.emulate_media(color_scheme="light")
        light = ground(page)
        assert dark != light
        page.click("#theme")
        assert ground(page) == dark
        page.reload()
        assert ground(page) == dark
        expect(page.locator("#theme")).to_have_attribute("aria-pressed", "true")


def test_everything_can_be_reached_by_the_keyboard(live: Running, chromium: Chromium) -> None:
    with chromium.open(live.url) as opened:
        page = opened.page
        expect(page.locator("#state")).to_have_text("Ready")
        reached = set()
        for _ in range(12):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.id || document.activeElement.name"))
        assert {"theme", "open-settings", "talk", "mode", "file", "text", "send"} <= reached
        page.focus("#open-settings")
        page.keyboard.press("Enter")
        expect(page.locator("#settings")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#settings")).not_to_be_visible()
        expect(page.locator("#open-settings")).to_be_focused()
