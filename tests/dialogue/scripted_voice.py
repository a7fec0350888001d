"""Turn-taking on scripted voice: the signal's value is the probability of speech.

At 1000 Hz a chunk of 32 ms is 32 samples, and positions are milliseconds.
"""

from __future__ import annotations

import numpy as np

from mimo_edge.audio.voice_activity import VoiceChunk
from mimo_edge.dialogue.turn_events import (
    BargeInMode,
    PauseStarted,
    TurnEvent,
    TurnFinished,
    TurnSettings,
    TurnStarted,
)
from mimo_edge.dialogue.turns import TurnTaker

RATE = 1000
CHUNK = 32
QUIET, UNSURE, VOICE = 0.1, 0.45, 0.9


class Scripted:
    """A detector that believes the samples: a chunk's mean is its probability."""

    def __init__(self) -> None:
        self.pending = np.zeros(0, dtype=np.float32)

    def feed(self, block: np.ndarray) -> list[VoiceChunk]:
        self.pending = np.concatenate([self.pending, block])
        count = len(self.pending) // CHUNK
        chunks = self.pending[: count * CHUNK].reshape(count, CHUNK)
        self.pending = self.pending[count * CHUNK :]
        return [VoiceChunk(float(chunk.mean()), CHUNK) for chunk in chunks]

    def reset(self) -> None:
        self.pending = self.pending[:0]


def signal(*parts: tuple[float, int]) -> np.ndarray:
    """float32 [samples] of (probability, chunks)."""
    return np.concatenate([np.full(n * CHUNK, p, dtype=np.float32) for p, n in parts])


def taker(barge_in: BargeInMode = "off", **settings: float) -> TurnTaker:
    return TurnTaker(Scripted(), RATE, TurnSettings(**settings), barge_in=barge_in)


def kinds(events: list[TurnEvent]) -> list[type]:
    return [type(event) for event in events]


def timeline(listener: TurnTaker, sound: np.ndarray) -> list[tuple[int, type]]:
    """(chunks heard until then, kind) of every event."""
    chunks = sound.reshape(-1, CHUNK)
    return [
        (number, type(event))
        for number, chunk in enumerate(chunks, 1)
        for event in listener.feed(chunk)
    ]


WHOLE_TURN = [TurnStarted, PauseStarted, TurnFinished]
