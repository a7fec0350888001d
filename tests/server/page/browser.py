"""Debian's Chromium, driven by Playwright, with a file as its microphone."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import soundfile
import soxr
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Playwright, expect

from mimo_edge.server.options import Limits, ServerOptions
from mimo_edge.tasks import Overrides

__all__ = ["OPTIONS", "QUESTIONS", "Chromium", "Opened", "Size", "said", "spoken", "turns"]

QUESTIONS = Path(__file__).parents[2] / "data" / "demo"
OPTIONS = ServerOptions(
    port=0,
    overrides=Overrides(temperature=0, seed=2, max_new_tokens=120),
    limits=Limits(conversations=4),
)
"""The words of an answer are sure."""

SCREENSHOTS = "MIMO_EDGE_SCREENSHOTS"
"""Environment variable: a folder for pictures of the page in every state."""

_RATE = 48000
_WAIT_MS = 60_000
"""A test that hangs ends then; it says nothing about speed."""

Size = Literal["desktop", "phone"]
_SIZES = {"desktop": (1280, 800), "phone": (390, 844)}


def spoken(path: Path, *parts: str | float) -> Path:
    """A recording for the microphone: names of questions, and seconds of silence."""
    pieces = []
    for part in parts:
        if isinstance(part, str):
            samples, rate = soundfile.read(QUESTIONS / f"{part}.flac", dtype="float32")
            pieces.append(soxr.resample(samples, rate, _RATE))
        else:
            pieces.append(np.zeros(round(part * _RATE), dtype=np.float32))
    soundfile.write(path, np.concatenate(pieces), _RATE, subtype="PCM_16")
    return path


@dataclass
class Opened:
    """The page in a browser, and what it complained about."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def look(self, name: str) -> None:
        """Keep a picture, if somebody wants to see them."""
        if folder := os.environ.get(SCREENSHOTS):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(folder) / f"{name}.png", timeout=_WAIT_MS)


class Chromium:
    """Starts browsers; each has one microphone."""

    def __init__(self, started: Playwright) -> None:
        path = shutil.which("chromium") or shutil.which("chromium-browser")
        if path is None:
            pytest.skip("Chromium is not installed")
        self._path = path
        self._playwright = started
        expect.set_options(timeout=_WAIT_MS)

    @contextlib.contextmanager
    def open(
        self,
        url: str,
        *,
        microphone: Path | None = None,
        allowed: bool = True,
        size: Size = "desktop",
        theme: Literal["dark", "light"] = "dark",
        calm: bool = False,
        expected: str | None = None,
    ) -> Iterator[Opened]:
        """The page at `url`, until the block ends.

        `microphone` is played once from when it is opened; without a file it beeps. `allowed`
        answers the browser's question whether the page may listen. `calm` asks for less motion.
        The page must not complain in the console, but for what matches `expected`.
        """
        with contextlib.closing(self._launch(microphone)) as browser:
            width, height = _SIZES[size]
            context = browser.new_context(
                viewport={"width": width, "height": height},
                device_scale_factor=2 if size == "phone" else 1,
                has_touch=size == "phone",
                color_scheme=theme,
                reduced_motion="reduce" if calm else "no-preference",
                permissions=["microphone"] if allowed else [],
                accept_downloads=True,
                ignore_https_errors=True,
            )
            context.set_default_timeout(_WAIT_MS)
            opened = Opened(context.new_page())
            opened.page.on("console", lambda message: _complain(opened, message))
            opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
            opened.page.goto(url)
            yield opened
            context.close()
        unexpected = [
            complaint
            for complaint in opened.complaints
            if expected is None or not re.search(expected, complaint)
        ]
        assert not unexpected, unexpected

    def _launch(self, microphone: Path | None) -> Browser:
        arguments = [
            "--use-fake-device-for-media-stream",
            "--autoplay-policy=document-user-activation-required",  # as on people's machines
            "--host-resolver-rules=MAP speech.local 127.0.0.1",
        ]
        if microphone is not None:
            arguments.append(f"--use-file-for-fake-audio-capture={microphone}%noloop")
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            arguments.append("--no-sandbox")
        return self._playwright.chromium.launch(executable_path=self._path, args=arguments)


def _complain(opened: Opened, message: ConsoleMessage) -> None:
    if message.type in ("error", "warning"):
        opened.complaints.append(f"{message.type}: {message.text} ({message.location})")


def turns(page: Page, role: Literal["user", "assistant"]) -> Locator:
    """What one side said."""
    return page.locator(f'.turn[data-role="{role}"]')


def said(turn: Locator) -> Locator:
    """The words of a turn."""
    return turn.locator(".words")
