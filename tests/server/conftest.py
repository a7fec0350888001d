from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from .running import Running, running


@pytest.fixture(scope="session", autouse=True)
def no_voices_of_this_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Servers without a voice library of their own begin with an empty one."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="package")
def server() -> Iterator[Running]:
    """One server with the demo model, for all tests that change nothing about it."""
    with running() as server:
        yield server


@pytest.fixture
def client(server: Running) -> httpx.Client:
    """Asks that server."""
    return server.client
