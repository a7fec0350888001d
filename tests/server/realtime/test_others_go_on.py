"""What one session does or waits for holds up nobody else."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from mimo_edge.model import MimoAudio
from mimo_edge.server.options import ServerOptions
from mimo_edge.server.realtime import routes
from mimo_edge.server.sharing.service import Service
from mimo_edge.server.voices.library import Voice, VoiceLibrary

from ..running import running
from .talker import talking, written


class Slow(VoiceLibrary):
    """On a disk that takes its time."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.go_on = threading.Event()

    def all(self) -> list[Voice]:
        assert self.go_on.wait(60)
        return super().all()


def test_a_slow_voice_library_does_not_stop_the_others(tmp_path: Path) -> None:
    library = Slow(tmp_path)

    def prepare(service: Service) -> None:
        service.voices = library

    with running(ServerOptions(port=0), prepare) as server, talking(server.url) as talker:
        output = {"output": {"voice": "marin"}}
        talker.send("session.update", session={"type": "realtime", "audio": output})
        time.sleep(0.2)
        assert server.client.get("/health", timeout=20).status_code == 200
        library.go_on.set()
        assert talker.until("session.updated")["session"]["audio"]["output"]["voice"] == "default"


def test_a_client_that_sends_very_many_messages_does_not_stop_the_others() -> None:
    """A socket on which a message always lies is read without waiting once."""
    turns, seen = 0, []
    update = written("session.update", session={"type": "realtime"})
    messages: list[dict[str, Any]] = [
        {"type": "websocket.connect"},
        *[{"type": "websocket.receive", "text": update}] * 100,
        {"type": "websocket.disconnect", "code": 1000},
    ]

    async def receive() -> dict[str, Any]:
        seen.append(turns)
        return messages.pop(0)

    async def send(_: Any) -> None:
        pass

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def flood() -> None:
        service = Service(MimoAudio.load, ServerOptions(port=0))
        await service.start()
        going_on = asyncio.create_task(others())
        scope = {"type": "websocket", "path": "/v1/realtime", "query_string": b"", "headers": []}
        await Starlette(routes=routes(service))(scope, receive, send)
        going_on.cancel()
        await service.close()

    asyncio.run(flood())
    assert len(seen) == 102
    assert len(set(seen)) > 90
