"""Answers that are sent while they are made."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

__all__ = ["server_sent", "streamed"]


class _Closing(StreamingResponse):
    """Closes what it sends from, whatever happens: a caller that leaves ends the work."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all of it."""
        async with contextlib.aclosing(self.body_iterator):  # type: ignore[type-var]
            await super().__call__(scope, receive, send)


async def streamed(
    chunks: AsyncGenerator[bytes, None],
    media_type: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An answer that is sent as it comes, begun with its first chunk.

    What is raised before that is raised here, so that it still gets a status of its own.
    """
    first = await anext(chunks, b"")

    async def all_of_it() -> AsyncGenerator[bytes, None]:
        async with contextlib.aclosing(chunks):
            yield first
            async for chunk in chunks:
                yield chunk

    return _Closing(all_of_it(), media_type=media_type, headers=headers)


def server_sent(record: Mapping[str, Any] | str) -> bytes:
    """One server-sent event: a record, or a word like `[DONE]`."""
    said = record if isinstance(record, str) else json.dumps(record, ensure_ascii=False)
    return f"data: {said}\n\n".encode()
