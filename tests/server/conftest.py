from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from starlette.testclient import TestClient

from mimo_edge.server.options import Limits, ServerOptions

from .guarded import KEY, serving
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


@pytest.fixture(scope="module")
def local() -> Iterator[TestClient]:
    """A server of this machine, without a key."""
    options = ServerOptions(
        allowed_hosts=("speech.example", "*.home.example"),
        allowed_origins=("https://app.example", "chrome-extension://abc"),
        limits=Limits(body_bytes=1000, bodies_bytes=1500),
    )
    with serving(options) as client:
        yield client


@pytest.fixture(scope="module")
def keyed() -> Iterator[TestClient]:
    """A server in the network, with a key."""
    with serving(ServerOptions(host="0.0.0.0", api_key=KEY)) as client:
        yield client
