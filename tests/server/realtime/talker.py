"""A client on a bare websocket, and the sound that it sends."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from mimo_edge.audio import read_at

RATE = 24_000
QUESTIONS = Path(__file__).parents[2] / "data" / "demo"
_LONGEST_WAIT_S = 60.0

Event = dict[str, Any]


def question(name: str, rate: int = RATE) -> np.ndarray:
    """A spoken question: int16 [n]."""
    samples = read_at(QUESTIONS / f"{name}.flac", RATE).samples
    if rate != RATE:
        samples = soxr.resample(samples, RATE, rate)
    return (np.clip(samples, -1, 0.999) * 32768).astype("<i2")


def silence(seconds: float, rate: int = RATE) -> np.ndarray:
    """int16 [n] of nothing."""
    return np.zeros(round(seconds * rate), dtype="<i2")


def base64_of(pcm: np.ndarray) -> str:
    return base64.b64encode(pcm.tobytes()).decode()


def sound_of(events: list[Event]) -> np.ndarray:
    """What an answer's deltas hold: int16 [n]."""
    deltas = [event["delta"] for event in events if event["type"] == "response.output_audio.delta"]
    return np.frombuffer(b"".join(map(base64.b64decode, deltas)), dtype="<i2")


def kinds(events: list[Event]) -> list[str]:
    return [event["type"] for event in events]


class Talker:
    """One session. Every event that came is in `events`."""

    def __init__(self, socket: Connection) -> None:
        self.socket = socket
        self.events: list[Event] = []

    def send(self, kind: str, **fields: Any) -> None:
        self.socket.send(written(kind, **fields))

    def configure(self, **session: Any) -> Event:
        """Change the session; its new settings."""
        self.send("session.update", session={"type": "realtime", **session})
        session = self.until("session.updated")["session"]
        return session

    def next(self) -> Event:
        event: Event = json.loads(self.socket.recv(timeout=_LONGEST_WAIT_S))
        self.events.append(event)
        return event

    def until(self, kind: str, accept: Callable[[Event], bool] = lambda event: True) -> Event:
        """The next event of a type."""
        deadline = time.monotonic() + _LONGEST_WAIT_S
        while time.monotonic() < deadline:
            event = self.next()
            if event["type"] == kind and accept(event):
                return event
            assert event["type"] != "error" or kind == "error", event
        raise AssertionError(f"no {kind} came, but {kinds(self.events)}")

    def now(self) -> list[Event]:
        """What comes until the server has answered one more question."""
        self.send("conversation.item.retrieve", item_id="nothing", event_id="asked")
        came: list[Event] = []
        while True:
            event = self.next()
            if event["type"] == "error" and event["error"]["event_id"] == "asked":
                return came
            came.append(event)

    def say(self, pcm: np.ndarray, chunk: int = 4800, *, pace: float = 0.0) -> None:
        """Send sound, `pace` seconds for one of it."""
        for start in range(0, len(pcm), chunk):
            piece = pcm[start : start + chunk]
            self.send("input_audio_buffer.append", audio=base64_of(piece))
            time.sleep(pace * len(piece) / RATE)

    def ask(self, name: str) -> Event:
        """Say a question, and wait for the end of its answer."""
        self.say(np.concatenate([question(name), silence(1.0)]))
        return self.answer()

    def answer(self) -> Event:
        """The response whose end comes next."""
        response: Event = self.until("response.done")["response"]
        return response


def written(kind: str, **fields: Any) -> str:
    """An event as a client sends it."""
    return json.dumps({"type": kind, **fields})


def words(response: Event) -> str:
    """What an answer says or writes."""
    content = response["output"][0]["content"][0]
    said: str = content.get("transcript", content.get("text")).strip()
    return said


@contextlib.contextmanager
def talking(url: str, **options: Any) -> Iterator[Talker]:
    """A session at a server, of which `session.created` came."""
    address = f"{url.replace('http', 'ws', 1)}/v1/realtime?model=gpt-realtime"
    with connect(address, max_size=None, **options) as socket:
        talker = Talker(socket)
        assert talker.next()["type"] == "session.created"
        yield talker
