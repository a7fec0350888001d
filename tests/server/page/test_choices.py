"""What a person can choose: the voice, instructions, written answers, devices; and over https."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocket, expect

from mimo_edge.server.options import Limits

from ..realtime.talker import talking
from ..running import Running, running
from .browser import OPTIONS, QUESTIONS, Chromium, said, spoken, turns

pytestmark = pytest.mark.browser


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Running]:
    """A server with a voice library and a single conversation of its own."""
    options = replace(OPTIONS, voices=tmp_path / "voices", limits=Limits(conversations=1))
    with running(options) as server:
        yield server


def _sessions(page: Page) -> list[dict[str, Any]]:
    """The settings that the page sends, from now on."""
    sent: list[dict[str, Any]] = []

    def note(frame: str | bytes) -> None:
        event = json.loads(frame)
        if event["type"] == "session.update":
            sent.append(event["session"])

    def watch(socket: WebSocket) -> None:
        socket.on("framesent", note)

    page.on("websocket", watch)
    return sent


def test_a_voice_is_recorded_saved_used_and_deleted(
    alone: Running, chromium: Chromium, tmp_path: Path
) -> None:
    # The two voices of the demo, one after the other, are long enough for a sample.
    microphone = spoken(tmp_path / "voice.wav", 0.3, "repeat", "repeat", "repeat", "repeat")
    with chromium.open(alone.url, microphone=microphone) as opened:
        page = opened.page
        sessions = _sessions(page)
        expect(page.locator("#state")).to_have_text("Ready")
        page.click("#open-settings")
        page.click("text=Add a voice")
        page.fill("#voice-name", "Anna")
        page.click("#voice-record")
        expect(page.locator("#voice-record")).to_have_text("Stop")
        page.wait_for_timeout(8000)  # as long as a sample should be
        opened.look("recording-a-voice")
        page.click("#voice-record")
        expect(page.locator("#voice-sample")).to_contain_text("Ready to save")
        page.check("#voice-consent")
        page.click("text=Save the voice")
        expect(page.locator("#voice-sample")).to_contain_text("“Anna”")
        expect(page.locator("#voice option:checked")).to_have_text("Anna")
        page.click("#settings [data-close]")

        page.fill("#text", "what is your name")
        page.click("#send")
        expect(turns(page, "assistant").locator(".about")).to_contain_text("s of speech")
        (anna,) = alone.client.get("/v1/audio/voices").json()["voices"][1:]
        assert sessions[-1]["audio"]["output"]["voice"] == anna["id"]

        page.click("#open-settings")
        page.on("dialog", lambda dialog: dialog.accept())
        page.click("#delete-voice")
        expect(page.locator("#voice option:checked")).to_have_text("Default")
        assert len(alone.client.get("/v1/audio/voices").json()["voices"]) == 1


def test_a_sample_that_is_too_short_is_told(alone: Running, chromium: Chromium) -> None:
    with chromium.open(alone.url, expected="400") as opened:
        page = opened.page
        page.click("#open-settings")
        page.click("text=Add a voice")
        page.fill("#voice-name", "Short")
        page.set_input_files("#voice-file", QUESTIONS / "name.flac")
        page.check("#voice-consent")
        page.click("text=Save the voice")
        expect(page.locator("#voice-sample")).to_contain_text("5")
        assert len(alone.client.get("/v1/audio/voices").json()["voices"]) == 1


def test_instructions_and_written_answers_are_asked_for(live: Running, chromium: Chromium) -> None:
    with chromium.open(live.url) as opened:
        page = opened.page
        sessions = _sessions(page)
        page.click("#open-settings")
        page.fill("#instructions", "Be brief.")
        page.uncheck("#spoken")
        page.click("#settings [data-close]")
        page.set_input_files("#file", QUESTIONS / "sum.flac")
        answer = turns(page, "assistant")
        expect(said(answer)).to_have_text("seven plus five is twelve")
        expect(page.locator('.turn[data-role="assistant"][data-state="done"]')).to_have_count(1)
        assert "speech" not in answer.locator(".about").inner_text()
        assert sessions[0]["instructions"] == "Be brief."
        assert sessions[0]["output_modalities"] == ["text"]
        page.reload()  # choices are kept
        expect(page.locator("#instructions")).to_have_value("Be brief.")


def test_devices_are_listed_and_echo_cancellation_is_read_back(
    live: Running, chromium: Chromium
) -> None:
    with chromium.open(live.url) as opened:
        page = opened.page
        page.click("#talk")
        expect(page.locator("#hint")).to_contain_text("Listening")
        page.click("#open-settings")
        expect(page.locator("#microphone")).to_contain_text("Fake")
        expect(page.locator("#echo")).to_have_text("Echo cancellation is on.")
        page.check("#headphones")
        expect(page.locator("#echo")).to_have_text("Echo cancellation is off.")
        page.select_option("#microphone", index=1)
        page.select_option("#speaker", index=1)
        expect(page.locator("#talk")).to_have_attribute("aria-pressed", "true")


def test_a_server_that_carries_no_second_conversation_says_so(
    alone: Running, chromium: Chromium
) -> None:
    with talking(alone.url), chromium.open(alone.url) as opened:
        page = opened.page
        page.fill("#text", "what is your name")
        page.click("#send")
        told = page.locator(".notice")
        expect(told).to_have_count(1)
        expect(told).to_contain_text("takes no more")
        expect(told).to_contain_text("Trying again")
        opened.look("second-conversation")


def test_over_https_with_a_self_made_certificate(chromium: Chromium, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = f"{openssl} req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=speech.local"
    subprocess.run([*made.split(), "-keyout", key, "-out", cert], check=True, capture_output=True)
    microphone = spoken(tmp_path / "sum.wav", 1.0, "sum", 2.0)
    with running(replace(OPTIONS, tls_cert=cert, tls_key=key)) as server:
        url = server.url.replace("127.0.0.1", "speech.local")
        with chromium.open(url, microphone=microphone, size="phone") as opened:
            assert opened.page.evaluate("isSecureContext")
            opened.page.tap("#talk")
            expect(said(turns(opened.page, "assistant"))).to_have_text("seven plus five is twelve")
