"""Turn-taking on scripted voice: the signal's value is the probability of speech.

At 1000 Hz a chunk of 32 ms is 32 samples, and positions are milliseconds.
"""

from __future__ import annotations

import numpy as np

from mimo_edge.dialogue.turn_events import (
    BargeInMode,
    PauseStarted,
    TurnEvent,
    TurnFinished,
    TurnSettings,
    TurnStarted,
)
from mimo_edge.dialogue.turns import TurnTaker
from tests.tools.scripted_detector import ScriptedDetector

RATE = 1000
CHUNK = 32
QUIET, UNSURE, VOICE = 0.1, 0.45, 0.9


def signal(*parts: tuple[float, int]) -> np.ndarray:
    """float32 [samples] of (probability, chunks)."""
    return np.concatenate([np.full(n * CHUNK, p, dtype=np.float32) for p, n in parts])


def taker(barge_in: BargeInMode = "off", **settings: float) -> TurnTaker:
    return TurnTaker(ScriptedDetector(CHUNK), RATE, TurnSettings(**settings), barge_in=barge_in)


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
