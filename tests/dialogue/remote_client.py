"""A client behind a socket, as an output of a conversation: it plays and says how far it came.

Sound goes out as fast as it is made. The client keeps what is ahead of its loudspeaker itself, and
reports the milliseconds that it has played, as clients of a realtime API do when they truncate
an answer (`audio_end_ms`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from mimo_edge.dialogue.ports import OutputState

__all__ = ["Message", "RemoteClient", "RemoteOutput"]


@dataclass(frozen=True)
class Message:
    """What is sent to the client."""

    kind: str
    samples: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))


class RemoteOutput:
    """The server's end: an `OutputPort` that knows only what it sent and what was reported."""

    latency = 0.0
    underruns = 0
    wait = None

    def __init__(self, rate: int) -> None:
        self.outbox: list[Message] = []
        self.reported = 0
        """Samples of the present or last answer that the client has played."""
        self._rate = rate
        self.sent = 0
        """Samples of it that went out."""
        self._open = self._complete = False

    @property
    def state(self) -> OutputState:
        if not self._open or (self._complete and self.reported >= self.sent):
            return "idle"
        return "playing" if self.reported else "waiting"

    def begin(self) -> None:
        self._open, self._complete = True, False
        self.sent = self.reported = 0
        self.outbox.append(Message("begin"))

    def push(self, samples: np.ndarray, now: float) -> None:
        if self._open:
            self.sent += len(samples)
            self.outbox.append(Message("sound", samples))

    def finish(self) -> None:
        self._complete = True

    def hold(self, now: float) -> None:
        self.outbox.append(Message("hold"))

    def release(self) -> None:
        self.outbox.append(Message("release"))

    def stop(self, now: float) -> int:
        self._open = False
        self.outbox.append(Message("clear"))
        return self.reported

    def report(self, milliseconds: int) -> None:
        """The client has played so much of the present answer."""
        if self._open:
            self.reported = min(self.sent, milliseconds * self._rate // 1000)


class RemoteClient:
    """The other end: plays what was sent; `lag` calls later its reports arrive."""

    def __init__(self, output: RemoteOutput, rate: int, lag: int = 0) -> None:
        self._output, self._rate = output, rate
        self._reports: deque[tuple[int, int]] = deque([(0, 0)] * lag)
        """(answer, milliseconds) on their way."""
        self._answer = 0
        self._buffer = np.zeros(0, np.float32)
        self._held = False
        self._played = 0

    def play(self, count: int) -> np.ndarray:
        """What sounds next, float32 [count]; obeys what came and reports what was played."""
        for message in self._output.outbox:
            self._obey(message)
        self._output.outbox.clear()
        sound = np.zeros(count, np.float32)
        if not self._held:
            playing = self._buffer[:count]
            sound[: len(playing)] = playing
            self._buffer = self._buffer[count:]
            self._played += len(playing)
        self._reports.append((self._answer, 1000 * self._played // self._rate))
        answer, milliseconds = self._reports.popleft()
        if answer == self._answer:
            self._output.report(milliseconds)
        return sound

    def _obey(self, message: Message) -> None:
        if message.kind == "sound":
            self._buffer = np.concatenate([self._buffer, message.samples])
        elif message.kind in ("hold", "release"):
            self._held = message.kind == "hold"
        else:
            self._answer += message.kind == "begin"
            self._buffer = self._buffer[:0]
            self._held, self._played = False, 0
