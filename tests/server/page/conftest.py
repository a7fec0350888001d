from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import sync_playwright

from ..running import Running, running
from .browser import OPTIONS, Chromium


@pytest.fixture(scope="package")
def chromium() -> Iterator[Chromium]:
    """Starts browsers."""
    with sync_playwright() as started:
        yield Chromium(started)


@pytest.fixture(scope="package")
def live() -> Iterator[Running]:
    """One server for all tests that change nothing about it."""
    with running(OPTIONS) as server:
        yield server
