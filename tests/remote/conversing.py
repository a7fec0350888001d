"""A remote model in the hands of a test: what it is asked, and what it tells."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Iterator
from typing import TypeVar

import numpy as np

from mimo_edge.dialogue.model_events import ModelEvent, Ready, Sound, Text
from mimo_edge.remote.address import ServerAddress
from mimo_edge.remote.client_events import RemoteSettings
from mimo_edge.remote.opening import open_session
from mimo_edge.remote.remote_model import RemoteModel

from .scripted_server import ScriptedServer

Kind = TypeVar("Kind")


class Conversing:
    """The conversation's side of a remote model."""

    def __init__(self) -> None:
        self.inbox: queue.SimpleQueue[ModelEvent] = queue.SimpleQueue()
        self.told: list[ModelEvent] = []
        self.model: RemoteModel

    def wait_for(self, kind: type[Kind], timeout: float = 30) -> Kind:
        """The next event of this kind; what comes before it is remembered."""
        until = time.monotonic() + timeout
        while True:
            event = self.inbox.get(timeout=max(0.0, until - time.monotonic()))
            self.told.append(event)
            if isinstance(event, kind):
                return event

    def of(self, kind: type[Kind]) -> list[Kind]:
        return [event for event in self.told if isinstance(event, kind)]

    def text(self, turn: int) -> str:
        return "".join(event.text for event in self.of(Text) if event.turn == turn)

    def sound(self, turn: int) -> np.ndarray:
        return np.concatenate([event.samples for event in self.of(Sound) if event.turn == turn])


@contextlib.contextmanager
def conversing(
    server: ScriptedServer | ServerAddress,
    settings: RemoteSettings | None = None,
    *,
    key: str | None = None,
) -> Iterator[Conversing]:
    """A model of that server, ready to be asked."""
    address = (
        server if isinstance(server, ServerAddress) else ServerAddress(url=server.url, api_key=key)
    )
    settings = settings or RemoteSettings()
    mine = Conversing()
    opened = open_session(address, settings)
    with RemoteModel(address, settings, opened, mine.inbox.put) as mine.model:
        mine.wait_for(Ready)
        yield mine


def eventually(true: object, timeout: float = 30) -> None:
    """Wait until a function returns something true."""
    assert callable(true)
    until = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < until, "it did not come true"
        time.sleep(0.01)
