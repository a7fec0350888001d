from __future__ import annotations

from collections.abc import Iterator

import pytest

from mimo_edge.server.options import Limits, ServerOptions
from mimo_edge.tasks import Overrides

from ..running import Running, running
from .talker import Talker, talking

OPTIONS = ServerOptions(
    port=0,
    overrides=Overrides(seed=2, max_new_tokens=120),
    limits=Limits(conversations=16),
)
"""The words of an answer are sure."""


@pytest.fixture(scope="package")
def live() -> Iterator[Running]:
    """One server for all tests that change nothing about it."""
    with running(OPTIONS) as server:
        yield server


@pytest.fixture
def talker(live: Running) -> Iterator[Talker]:
    """A session of its own."""
    with talking(live.url) as talker:
        yield talker
