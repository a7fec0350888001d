"""A person at the page, with a microphone."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Page, expect

from ..running import Running
from .browser import QUESTIONS, Chromium, said, spoken, turns

pytestmark = pytest.mark.browser


def _hints(page: Page) -> Callable[[], list[str]]:
    """All that stands below the button from now on, however shortly."""
    page.evaluate(
        """() => {
          window.hints = [];
          const hint = document.getElementById("hint");
          const options = { childList: true, characterData: true, subtree: true };
          new MutationObserver(() => window.hints.push(hint.textContent)).observe(hint, options);
        }"""
    )
    return lambda: list(page.evaluate("window.hints"))


def _saved_sound(page: Page) -> tuple[np.ndarray, int]:
    with page.expect_download() as download:
        page.click("#save-sound")
    samples, rate = soundfile.read(io.BytesIO(Path(download.value.path()).read_bytes()))
    return samples, rate


def test_a_spoken_question_is_answered_in_words_and_sound(
    live: Running, chromium: Chromium, tmp_path: Path
) -> None:
    microphone = spoken(tmp_path / "sum.wav", 1.0, "sum", 2.0)
    with chromium.open(live.url, microphone=microphone) as opened:
        page = opened.page
        expect(page.locator("#model")).to_have_text("MiMo-Audio-Demo")
        opened.look("idle")
        hints = _hints(page)
        page.click("#talk")
        expect(page.locator("#talk")).to_have_attribute("aria-pressed", "true")
        answer = turns(page, "assistant")
        expect(said(answer)).to_have_text("seven plus five is twelve")
        expect(said(turns(page, "user"))).to_have_text("what is seven plus five")
        # Counted by the samples that came out.
        expect(answer.locator(".about")).to_contain_text("s of speech")
        expect(page.locator("#first-sound")).to_contain_text(" s")
        expect(page.locator("#spoken-words")).to_contain_text("seven plus five is twelve")
        opened.look("answered")

        seen = hints()
        assert seen.index("Hearing you") < seen.index("Speaking. You can speak over it.")

        sound, rate = _saved_sound(page)
        person, model = (np.sqrt(np.mean(channel**2)) for channel in sound.T)
        assert rate == 24000
        assert person > 0.01
        assert model > 0.01
        with page.expect_download() as download:
            page.click("#save-text")
        assert Path(download.value.path()).read_text() == (
            "You: what is seven plus five\nModel: seven plus five is twelve\n"
        )
        page.click("#talk")
        expect(page.locator("#talk")).to_have_attribute("aria-pressed", "false")


def test_speaking_over_an_answer_stops_it_and_is_answered(
    live: Running, chromium: Chromium, tmp_path: Path
) -> None:
    microphone = spoken(tmp_path / "color.wav", 0.05, "color", 2.0)
    with chromium.open(live.url, microphone=microphone) as opened:
        page = opened.page
        page.set_input_files("#file", QUESTIONS / "count.flac")
        first, second = turns(page, "assistant").nth(0), turns(page, "assistant").nth(1)
        page.locator('#talk[data-phase="speaking"]').wait_for()
        page.click("#talk")  # the microphone begins with the next question
        expect(first.locator(".about")).to_contain_text("Interrupted after")
        opened.look("interrupted")
        expect(said(second)).to_have_text("the sky is blue")
        expect(second.locator(".about")).to_contain_text("s of speech")
        asked = said(turns(page, "user"))
        expect(asked).to_have_text(["count from two to six", "what color is the sky"])


def test_the_button_is_held_by_the_keyboard(
    live: Running, chromium: Chromium, tmp_path: Path
) -> None:
    microphone = spoken(tmp_path / "sum.wav", 0.8, "sum", 30.0)
    with chromium.open(live.url, microphone=microphone) as opened:
        page = opened.page
        page.get_by_label("Push to talk").check()
        page.focus("#talk")
        page.keyboard.down("Space")
        expect(page.locator("#talk")).to_have_attribute("aria-pressed", "true")
        expect(page.locator("#hint")).to_contain_text("Let go")
        page.locator('#talk[data-phase="hearing"]').wait_for()
        page.wait_for_timeout(3500)  # as long as the question takes
        opened.look("held")
        page.keyboard.up("Space")
        expect(page.locator("#talk")).to_have_attribute("aria-pressed", "false")
        expect(said(turns(page, "assistant"))).to_have_text("seven plus five is twelve")
        expect(said(turns(page, "user"))).to_have_text("what is seven plus five")


def test_a_touch_of_the_button_switches_and_another_sends(
    live: Running, chromium: Chromium, tmp_path: Path
) -> None:
    microphone = spoken(tmp_path / "color.wav", 0.8, "color", 30.0)
    with chromium.open(live.url, microphone=microphone, size="phone") as opened:
        page = opened.page
        page.get_by_label("Push to talk").check()
        page.tap("#talk")
        expect(page.locator("#talk")).to_have_attribute("aria-pressed", "true")
        page.locator('#talk[data-phase="hearing"]').wait_for()
        page.wait_for_timeout(3500)
        page.tap("#talk")
        expect(said(turns(page, "assistant"))).to_have_text("the sky is blue")
        opened.look("phone-answered")
