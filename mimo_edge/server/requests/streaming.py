"""Answers that are sent while they are made."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ...errors import MimoEdgeError
from .api_errors import ApiError, api_error

__all__ = ["EVENTS", "server_sent", "streamed"]

EVENTS = "text/event-stream"
"""The media type of server-sent events."""

_log = logging.getLogger(__name__)


class _Closing(StreamingResponse):
    """Closes what it sends from, whatever happens: a caller that leaves ends the work."""

    source: AsyncGenerator[bytes, None]
    """From which the body's iterator takes. That one closes it too, but not if the caller left
    before it was begun: to close a generator that was never begun does nothing."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all of it.

        If it fails in the middle, the end is not sent, so that nobody takes it for the whole: the
        server then closes the connection.
        """
        try:
            async with (
                contextlib.aclosing(self.source),
                contextlib.aclosing(self.body_iterator),  # type: ignore[type-var]
            ):
                await super().__call__(scope, receive, send)
        except (ApiError, MimoEdgeError) as error:
            _log.warning("half an answer was sent: %s", type(error).__name__)


async def streamed(
    chunks: AsyncGenerator[bytes, None],
    media_type: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An answer that is sent as it comes, begun with its first chunk.

    What is raised before that is raised here, so that it still gets a status of its own. Later,
    events end with one that holds the error, as OpenAI's clients expect it; sound breaks off.
    """
    first = await anext(chunks, b"")

    async def all_of_it() -> AsyncGenerator[bytes, None]:
        async with contextlib.aclosing(chunks):
            yield first
            try:
                async for chunk in chunks:
                    yield chunk
            except (ApiError, MimoEdgeError) as error:
                if media_type != EVENTS:
                    raise
                told = error if isinstance(error, ApiError) else api_error(error)
                yield server_sent({"error": told.body})

    # A proxy of nginx's kind would otherwise collect it before it passes it on.
    own = {"X-Accel-Buffering": "no", **(headers or {})}
    response = _Closing(all_of_it(), media_type=media_type, headers=own)
    response.source = chunks
    return response


def server_sent(record: Mapping[str, Any] | str) -> bytes:
    """One server-sent event: a record, or a word like `[DONE]`."""
    said = record if isinstance(record, str) else json.dumps(record, ensure_ascii=False)
    return f"data: {said}\n\n".encode()
