from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from .running import Running, running


@pytest.fixture(scope="package")
def server() -> Iterator[Running]:
    """One server with the demo model, for all tests that change nothing about it."""
    with running() as server:
        yield server


@pytest.fixture
def client(server: Running) -> httpx.Client:
    """Asks that server."""
    return server.client
