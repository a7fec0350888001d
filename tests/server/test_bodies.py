from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from mimo_edge.server.options import Limits
from mimo_edge.server.requests.api_errors import ApiError
from mimo_edge.server.safety.bodies import Bodies


def test_a_body_that_comes_byte_by_byte_is_given_up() -> None:
    """Each byte in time: only the whole tells that it will never end."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def send(_: Any) -> None:
        raise AssertionError("nothing is answered")

    bodies = Bodies(app, Limits(request_s=0.3))
    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    with pytest.raises(ApiError, match="not complete") as caught:
        asyncio.run(asyncio.wait_for(bodies(scope, receive, send), 30))
    assert caught.value.status == 408
