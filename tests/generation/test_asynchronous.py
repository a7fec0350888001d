"""Items of a thread for asyncio: it is not far ahead of its reader, and ends when he leaves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator

import pytest

from mimo_edge.generation.asynchronous import in_thread


@pytest.mark.parametrize("full", [False, True])
def test_a_reader_that_leaves_ends_the_thread(full: bool) -> None:
    """Also one that waits for him, as far ahead as it may be."""
    closed, made = threading.Event(), 0

    def items(left: threading.Event) -> Generator[int, None, None]:
        nonlocal made
        try:
            while not left.is_set():
                made += 1
                yield made
        finally:
            closed.set()

    async def read() -> None:
        stream = in_thread(items, None)
        assert [await anext(stream) for _ in range(3)] == [1, 2, 3]
        if full:
            ahead = 0
            while made > ahead:
                ahead = made
                await asyncio.sleep(0.1)
            assert ahead < 50
        await stream.aclose()
        assert await asyncio.to_thread(closed.wait, 30)

    asyncio.run(read())
