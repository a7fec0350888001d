"""A small server with OpenAI's Realtime API that says what a test wants it to say.

What it sends and gets is checked against the published types of the `openai` package.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

realtime = pytest.importorskip("openai.types.realtime", reason="the published types are not here")
_CLIENT: TypeAdapter[Any] = TypeAdapter(realtime.RealtimeClientEvent)
_SERVER: TypeAdapter[Any] = TypeAdapter(realtime.RealtimeServerEvent)
RATE = 24_000
CHUNK = RATE // 5

Event = dict[str, Any]


@dataclass
class Script:
    """An answer as the server gives it."""

    text: str = "seven plus five is twelve"
    seconds: float = 1.0
    pause_after: int | None = None
    """Chunks of 0.2 s after which nothing more comes, until it is cancelled."""
    lose_after: int | None = None
    """Chunks after which the connection is gone."""
    leave_after: bool = False
    """Whether the server ends the session after the answer, because nothing happens."""
    refusal: Event | None = None
    """The error instead of an answer."""
    status: str = "completed"
    details: Event | None = None

    def sound(self) -> np.ndarray:
        return tone(self.seconds)


def tone(seconds: float) -> np.ndarray:
    time_s = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * 440 * time_s)).astype(np.float32)


@dataclass
class Talk:
    """One connection, as the server saw it."""

    path: str
    headers: dict[str, str]
    events: list[Event] = field(default_factory=list)
    buffer: list[np.ndarray] = field(default_factory=list)
    asked: list[np.ndarray] = field(default_factory=list)
    """The questions that were committed."""
    questions: list[str] = field(default_factory=list)
    """Their names."""

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["type"] == kind]

    def kinds(self, *without: str) -> list[str]:
        return [event["type"] for event in self.events if event["type"] not in without]


class ScriptedServer:
    """Serves one client after the other, every answer by the next script."""

    def __init__(self) -> None:
        self.scripts: list[Script] = []
        self.talks: list[Talk] = []
        self.session: Event = {}
        """What the session is, besides what the client asks for."""
        self.keeps_to_the_types = True
        """Whether what is sent is checked against the published types."""
        self.refuse: Callable[[int], tuple[HTTPStatus, str] | None] = lambda number: None
        """Status and body for the handshake of the connection with this number, from 0."""
        self.greeting: str | None = None
        """A message before all others."""
        self.garbage: list[str] = []
        """Messages before each answer that are none."""
        self.goodbye: tuple[int, str] | None = None
        """Code and reason of closing at once."""
        self.complaint: str | None = None
        """Error before the goodbye."""
        self._numbers = itertools.count()
        self._connections = 0
        self._server = serve(self._talk, "127.0.0.1", 0, process_request=self._let_in)
        self.port = self._server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/realtime"

    @property
    def talk(self) -> Talk:
        """The latest connection."""
        return self.talks[-1]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(10)

    def _let_in(self, socket: ServerConnection, request: Request) -> Response | None:
        number, self._connections = self._connections, self._connections + 1
        refusal = self.refuse(number)
        return socket.respond(*refusal) if refusal else None

    def _talk(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        headers = {name.lower(): value for name, value in socket.request.headers.raw_items()}
        talk = Talk(socket.request.path, headers)
        self.talks.append(talk)
        with contextlib.suppress(ConnectionClosed):
            _Conversation(self, socket, talk, self._numbers).run()


class _Conversation:
    def __init__(
        self,
        server: ScriptedServer,
        socket: ServerConnection,
        talk: Talk,
        numbers: Iterator[int],
    ) -> None:
        self.server, self.socket, self.talk = server, socket, talk
        self.numbers = numbers
        self.running: tuple[str, str, Script] | None = None
        self.transcribes, self.speaks = False, True

    def run(self) -> None:
        if self.server.greeting is not None:
            self.socket.send(self.server.greeting)
        if self.server.complaint is not None:
            self.complain(self.server.complaint)
        if self.server.goodbye is not None:
            self.socket.close(*self.server.goodbye)
            return
        self.send("session.created", session={"type": "realtime", "model": "scripted"})
        for message in self.socket:
            event = json.loads(message)
            _CLIENT.validate_python(event)
            self.talk.events.append(event)
            self.obey(event)

    def obey(self, event: Event) -> None:
        kind = event["type"]
        if kind == "session.update":
            audio = event["session"]["audio"]
            self.transcribes = "transcription" in audio["input"]
            self.speaks = event["session"]["output_modalities"] == ["audio"]
            self.send("session.updated", session={**event["session"], **self.server.session})
        elif kind == "input_audio_buffer.append":
            pcm = np.frombuffer(base64.b64decode(event["audio"]), dtype="<i2")
            self.talk.buffer.append(pcm.astype(np.float32) / 32768)
        elif kind == "input_audio_buffer.clear":
            self.talk.buffer.clear()
            self.send("input_audio_buffer.cleared")
        elif kind == "input_audio_buffer.commit":
            self.commit()
        elif kind == "response.create":
            self.answer(event)
        elif kind == "response.cancel":
            self.cancel()

    def commit(self) -> None:
        item = f"item_{next(self.numbers)}"
        self.talk.asked.append(np.concatenate(self.talk.buffer))
        self.talk.questions.append(item)
        self.talk.buffer.clear()
        self.send("input_audio_buffer.committed", item_id=item, previous_item_id=None)
        if self.transcribes:
            self.send(
                "conversation.item.input_audio_transcription.completed",
                item_id=item,
                content_index=0,
                transcript=" how much is seven plus five ",
                usage={"type": "duration", "seconds": 1},
            )

    def answer(self, event: Event) -> None:
        for message in self.server.garbage:
            self.socket.send(message)
        script = self.server.scripts.pop(0) if self.server.scripts else Script()
        if script.refusal is not None:
            self.send("error", error={"event_id": event.get("event_id"), **script.refusal})
            return
        response, item = f"resp_{next(self.numbers)}", f"item_{next(self.numbers)}"
        self.running = (response, item, script)
        where = {"response_id": response, "item_id": item, "output_index": 0, "content_index": 0}
        self.send("response.created", response={"id": response, "status": "in_progress"})
        self.send(
            "response.output_item.added",
            response_id=response,
            output_index=0,
            item={"id": item, "type": "message", "role": "assistant", "content": []},
        )
        self.send("rate_limits.updated", rate_limits=[])
        sound, words = script.sound(), script.text.split()
        for number, start in enumerate(range(0, len(sound), CHUNK)):
            if number == script.lose_after:
                self.socket.socket.shutdown(socket.SHUT_RDWR)
                raise ConnectionClosed(None, None)
            if number == script.pause_after:
                return
            if number < len(words):
                kind = "output_audio_transcript" if self.speaks else "output_text"
                word = f"{' ' if number else ''}{words[number]}"
                self.send(f"response.{kind}.delta", delta=word, **where)
            if not self.speaks:
                continue
            pcm = np.rint(sound[start : start + CHUNK] * 32768).astype("<i2")
            delta = base64.b64encode(pcm.tobytes()).decode()
            self.send("response.output_audio.delta", delta=delta, **where)
        self.done(script.status, script.details)
        if script.leave_after:
            self.complain("nothing happened for 0 s.", code="idle")
            self.socket.close(1000, "idle")

    def cancel(self) -> None:
        if self.running is None:
            self.complain("there is nothing to cancel", code="response_cancel_not_active")
        else:
            self.done("cancelled", {"type": "cancelled", "reason": "client_cancelled"})

    def done(self, status: str, details: Event | None) -> None:
        assert self.running is not None
        response, _, _ = self.running
        self.running = None
        usage = {
            "input_tokens": 50,
            "output_tokens": 20,
            "total_tokens": 70,
            "input_token_details": {"cached_tokens": 30},
            "output_token_details": {"text_tokens": 8, "audio_tokens": 12},
        }
        self.send(
            "response.done",
            response={"id": response, "status": status, "status_details": details, "usage": usage},
        )

    def complain(self, message: str, code: str | None = None) -> None:
        error = {"type": "invalid_request_error", "code": code, "message": message}
        self.send("error", error=error)

    def send(self, kind: str, **fields: Any) -> None:
        event = {"type": kind, "event_id": f"event_{next(self.numbers)}", **fields}
        if self.server.keeps_to_the_types:
            _SERVER.validate_python(event)
        self.socket.send(json.dumps(event))


@contextlib.contextmanager
def scripted(*scripts: Script) -> Iterator[ScriptedServer]:
    """A server until the block ends."""
    server = ScriptedServer()
    server.scripts += scripts
    try:
        yield server
    finally:
        server.close()
