from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from mimo_edge.server.requests.streaming import streamed


def test_a_caller_that_left_before_the_first_byte_was_sent_ends_the_work() -> None:
    closed: list[bool] = []

    async def made() -> AsyncGenerator[bytes, None]:
        try:
            yield b"first"
            await asyncio.sleep(60)
        finally:
            closed.append(True)

    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None:
        await asyncio.sleep(60)

    async def leave() -> None:
        chunks = made()  # held here: nothing is to depend on when garbage is collected
        response = await streamed(chunks, "audio/pcm")
        await response({"type": "http", "asgi": {"spec_version": "2.3"}}, gone, send)
        assert closed == [True]

    asyncio.run(asyncio.wait_for(leave(), 30))
