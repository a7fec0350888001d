from __future__ import annotations

from collections.abc import Iterator

import pytest

from .home_assistant import Wyoming, wyoming


@pytest.fixture(scope="package")
def home() -> Iterator[Wyoming]:
    """One Wyoming server with the demo model, for all tests that change nothing about it."""
    with wyoming() as running:
        yield running
