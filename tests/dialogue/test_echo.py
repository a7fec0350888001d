"""The echo canceller on a synthesized room: speech comes back delayed, weaker and smeared."""

from __future__ import annotations

import sys
from importlib import util
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mimo_edge.dialogue.echo import EchoCanceller
from mimo_edge.errors import MimoEdgeError

RATE = 24_000
DEMO = Path(__file__).parents[1] / "data" / "demo"

needs_livekit = pytest.mark.skipif(
    util.find_spec("livekit") is None, reason="echo cancellation needs livekit"
)


def speech(*names: str) -> np.ndarray:
    return np.concatenate([soundfile.read(DEMO / f"{n}.flac", dtype="float32")[0] for n in names])


def room(sound: np.ndarray) -> np.ndarray:
    """The echo of `sound`: 80 ms later, 10 dB weaker, with 100 ms of reverberation."""
    delay, tail = round(0.08 * RATE), RATE // 10
    answer = np.zeros(delay + tail)
    decay = np.exp(-np.arange(tail) / (RATE * 0.02))
    answer[delay:] = 0.1 * np.random.default_rng(0).standard_normal(tail) * decay
    answer[delay] = 1
    size = len(sound) + len(answer)
    echo = np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(answer, size), size)
    return (0.3 * echo[: len(sound)]).astype(np.float32)


def cancelled(played: np.ndarray, captured: np.ndarray, size: int = 480) -> np.ndarray:
    canceller, out = EchoCanceller(RATE), []
    for start in range(0, len(played), size):
        canceller.played(played[start : start + size])
        out.append(canceller.captured(captured[start : start + size]))
    return np.concatenate(out)


def decibels(loud: np.ndarray, quiet: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(loud**2) / (np.mean(quiet**2) + 1e-12)))


@needs_livekit
def test_the_echo_goes() -> None:
    played = speech("color", "count", "memory")
    echo = room(played)
    left = cancelled(played, echo)
    second = slice(RATE, len(left))
    assert decibels(echo[:RATE], left[:RATE]) > 10  # while it learns the room
    assert decibels(echo[second], left[second]) > 25


@needs_livekit
def test_a_voice_in_the_room_stays() -> None:
    """While nothing is played it passes; while the model speaks, it stands out of the echo."""
    played, voice = speech("color", "count", "memory"), speech("sum")
    alone = cancelled(np.zeros_like(voice), voice)
    assert abs(decibels(voice, alone)) < 1
    near = np.zeros_like(played)
    near[-len(voice) :] = voice
    left = cancelled(played, room(played) + near)[-len(voice) :]
    only_echo = cancelled(played, room(played))[-len(voice) :]
    assert decibels(voice, left) < 9
    assert decibels(left, only_echo) > 20


@needs_livekit
@pytest.mark.parametrize("size", [100, 240, 1000])
def test_blocks_of_any_size(size: int) -> None:
    silence, voice = np.zeros(RATE, dtype=np.float32), speech("sum")[:RATE]
    canceller, lengths = EchoCanceller(RATE), []
    for start in range(0, RATE, size):
        canceller.played(silence[start : start + size])
        lengths.append(len(canceller.captured(voice[start : start + size])))
        assert 0 <= start + size - sum(lengths) < max(240, size)
    assert sum(lengths) == RATE
    canceller.captured(voice[:0])


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "livekit", None)
    with pytest.raises(MimoEdgeError, match=r"pip install 'mimo-edge\[echo\]'"):
        EchoCanceller(RATE)


@pytest.mark.parametrize("rate", [22_050, 4_000])
def test_a_rate_that_webrtc_cannot_take_is_refused(rate: int) -> None:
    with pytest.raises(MimoEdgeError, match="give"):
        EchoCanceller(rate)
