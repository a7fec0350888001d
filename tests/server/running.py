"""A server that runs in this process, for tests."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx

from mimo_edge.model import MimoAudio
from mimo_edge.server.options import ServerOptions
from mimo_edge.server.run import listen, server_of
from mimo_edge.server.sharing.service import Service
from tests.tools.exact_demo import load_exact_demo


@dataclass(frozen=True)
class Running:
    """A running server."""

    url: str
    service: Service
    client: httpx.Client


@contextlib.contextmanager
def running(
    options: ServerOptions | None = None,
    prepare: Callable[[Service], None] = lambda _: None,
    load: Callable[[], MimoAudio] = load_exact_demo,
) -> Iterator[Running]:
    """A model, the demo in float32, served at a free port of this machine until the block ends.

    `prepare` gets the service before it starts.
    """
    service = Service(load, options or ServerOptions(port=0))
    prepare(service)
    listening = listen(service.options)
    server = server_of(service)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    url = f"{service.options.scheme}://127.0.0.1:{listening.getsockname()[1]}"
    key = service.options.api_key
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx.Client(base_url=url, headers=headers, timeout=60, verify=False) as client:
        try:
            _wait_until_ready(client)
            yield Running(url, service, client)
        finally:
            server.should_exit = True
            thread.join(30)
            listening.close()
    assert not thread.is_alive()


def _wait_until_ready(client: httpx.Client) -> None:
    for _ in range(600):
        with contextlib.suppress(httpx.TransportError):
            if client.get("/health").json()["status"] in ("ready", "busy"):
                return
        time.sleep(0.1)
    raise AssertionError("the server did not become ready")
