"""Both sides of a live conversation on a simulated clock: real turn-taking and outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np

from mimo_edge.audio.voice_activity import VoiceChunk
from mimo_edge.dialogue.conversation import Conversation
from mimo_edge.dialogue.events import LiveEvent, StateChanged
from mimo_edge.dialogue.model_events import Ended, Failed, ModelEvent, Ready, Sound, Text, Truncated
from mimo_edge.dialogue.playback import Playback, PlaybackSettings
from mimo_edge.dialogue.ports import OutputPort
from mimo_edge.dialogue.turn_events import BargeInMode
from mimo_edge.dialogue.turns import TurnTaker
from mimo_edge.generation.events import TurnStats

from .remote_client import RemoteClient, RemoteOutput

Kind = TypeVar("Kind")

RATE = 24_000
STEP = 0.02
PATCH = 0.16
STATS = TurnStats(
    prompt_positions=40,
    cached_positions=30,
    text_tokens=6,
    patches=12,
    prefill_seconds=0.1,
    backbone_seconds=0.5,
    patch_seconds=0.5,
    audio_seconds=1.92,
)


Output = Literal["speaker", "socket"]
"""Who plays the answers: a speaker of this machine, or a client that reports what it played."""


class LoudIsVoice:
    """A voice detector: chunks of 32 ms, voice where it is loud."""

    def __init__(self) -> None:
        self.rest = np.zeros(0, np.float32)

    def feed(self, block: np.ndarray) -> list[VoiceChunk]:
        self.rest = np.concatenate([self.rest, block])
        size, out = 768, []
        while len(self.rest) >= size:
            loud = float(np.abs(self.rest[:size]).mean() > 0.05)
            out.append(VoiceChunk(probability=loud, samples=size))
            self.rest = self.rest[size:]
        return out

    def reset(self) -> None:
        self.rest = self.rest[:0]


@dataclass
class ScriptedModel:
    """Answers after `delay` with `seconds` of sound at a real-time factor."""

    later: Callable[[float, ModelEvent], None]
    delay: float = 0.2
    factor: float = 0.3
    seconds: float = 3.2
    fails: bool = False
    words: tuple[str, str] = ("two and ", "two is four")
    first_word: float = 0.0
    """Seconds of sound before anything was said."""
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    heard: list[np.ndarray] = field(default_factory=list)
    asked: list[np.ndarray] = field(default_factory=list)

    def hear(self, samples: np.ndarray) -> None:
        self.heard.append(samples)

    def prepare(self, samples: np.ndarray) -> None:
        self.asked.append(samples)
        self.calls.append(("prepare", len(samples)))

    def forget(self) -> None:
        self.calls.append(("forget",))

    def answer(self, turn: int, samples: np.ndarray) -> None:
        self.calls.append(("answer", turn, len(samples)))
        if self.fails:
            self.later(self.delay, Failed(turn=turn, sentence="it does not fit."))
            return
        at = self.delay
        self.later(at, Text(turn=turn, text=self.words[0]))
        for _ in range(round(self.seconds / PATCH)):
            at += PATCH * self.factor
            tone = np.full(round(PATCH * RATE), 0.3, np.float32)
            self.later(at, Sound(turn=turn, samples=tone))
        self.later(at, Text(turn=turn, text=self.words[1]))
        self.later(at, Ended(turn=turn, reason="stop", stats=STATS, prepared_positions=8))

    def stop(self, turn: int, heard: int) -> None:
        self.calls.append(("stop", turn, heard))
        ended = Ended(turn=turn, reason="cancelled", stats=STATS)
        said = "two and" if heard > self.first_word * RATE else ""
        self.later(0.05, Truncated(turn=turn, text=said, ended=ended))


class Talk:
    """Both sides, twenty milliseconds at a time."""

    def __init__(
        self,
        output: Output = "speaker",
        *,
        barge_in: BargeInMode = "headphones",
        latency: float = 0.0,
        settings: PlaybackSettings | None = None,
        lag: int = 0,
        **model: Any,
    ) -> None:
        """`lag`: steps after which a client's reports arrive."""
        self.now = 100.0
        self.events: list[tuple[float, LiveEvent]] = []
        self.due: list[tuple[float, int, ModelEvent]] = []
        self.model = ScriptedModel(self.later, **model)
        turns = TurnTaker(LoudIsVoice(), RATE, barge_in=barge_in)
        if output == "speaker":
            playback = Playback(RATE, settings, latency=lambda: latency)
            self.port: OutputPort = playback
            self.play: Callable[[int], np.ndarray] = playback.pull
        else:
            remote = RemoteOutput(RATE)
            self.port = remote
            self.play = RemoteClient(remote, RATE, lag).play
        self.conversation = Conversation(
            turns, self.port, self.model, self.emit, rate=RATE, began=self.now
        )
        self.heard: list[np.ndarray] = []
        self.conversation.model_event(Ready(), self.now)

    def emit(self, event: LiveEvent) -> None:
        self.events.append((self.now, event))

    def later(self, seconds: float, event: ModelEvent) -> None:
        self.due.append((self.now + seconds, len(self.due), event))

    def run(self, seconds: float, *, voice: bool = False) -> None:
        for _ in range(round(seconds / STEP)):
            self.now += STEP
            block = np.full(round(STEP * RATE), 0.2 if voice else 0.0, np.float32)
            self.conversation.hear(block, self.now)
            for item in sorted(item for item in self.due if item[0] <= self.now):
                self.due.remove(item)
                self.conversation.model_event(item[2], self.now)
            self.heard.append(self.play(len(block)))
            self.conversation.tick(self.now)

    def of(self, kind: type[Kind]) -> list[Kind]:
        return [event for _, event in self.events if isinstance(event, kind)]

    @property
    def states(self) -> list[str]:
        return [event.state for event in self.of(StateChanged)]

    def sound(self) -> np.ndarray:
        return np.concatenate(self.heard)
