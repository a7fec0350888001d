"""Makes the README's picture of the page: `python -m tests.server.page.readme_picture`."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Literal

from PIL import Image, ImageDraw
from playwright.sync_api import expect, sync_playwright

from ..running import running
from .browser import OPTIONS, Chromium, Size, said, spoken, turns

TARGET = Path(__file__).parents[2] / "data" / "readme" / "page.png"
_HEIGHT = 800
_COLOURS = 220
"""Of each of both; shadows have many that nobody tells apart."""
_GAP = 28
_CORNER = 20


def main() -> None:
    """Ask twice on a desktop and on a phone, and put both beside each other."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        microphone = spoken(Path(folder) / "questions.wav", 0.8, "sum", 3.6, "color", 4.0)
        chromium = Chromium(started)
        desktop = _picture(chromium, microphone, "desktop", "dark")
        phone = _picture(chromium, microphone, "phone", "light")
    width = desktop.width + _GAP + phone.width
    both = Image.new("RGBA", (width, _HEIGHT))
    both.paste(desktop, (0, 0))
    both.paste(phone, (desktop.width + _GAP, 0))
    both.save(TARGET, optimize=True)


def _picture(
    chromium: Chromium, microphone: Path, size: Size, theme: Literal["dark", "light"]
) -> Image.Image:
    """The page while it answers the second question, with round corners."""
    with (
        running(OPTIONS) as server,
        chromium.open(server.url, microphone=microphone, size=size, theme=theme) as opened,
    ):
        page = opened.page
        expect(page.locator("#state")).to_have_text("Ready")
        page.click("#talk")
        expect(said(turns(page, "assistant").nth(1))).to_have_text("the sky is blue")
        expect(said(turns(page, "user").nth(1))).to_have_text("what color is the sky")
        page.locator('#talk[data-phase="speaking"]').wait_for()
        page.wait_for_timeout(500)  # some of the voice should be seen
        shot = Image.open(io.BytesIO(page.screenshot())).convert("RGBA")
    shot = shot.resize(
        (round(shot.width * _HEIGHT / shot.height), _HEIGHT), Image.Resampling.LANCZOS
    )
    shot = shot.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE).convert("RGBA")
    mask = Image.new("L", (2 * shot.width, 2 * shot.height))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, *mask.size), 2 * _CORNER, fill=255)
    shot.putalpha(mask.resize(shot.size))
    return shot


if __name__ == "__main__":
    main()
