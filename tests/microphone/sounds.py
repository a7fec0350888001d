"""What tests say, hear and play through virtual devices."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from mimo_edge.devices.device_stream import BLOCK_S
from mimo_edge.devices.microphone import Block, Microphone
from mimo_edge.devices.speaker import Speaker
from tests.tools.sound_server import RATE, SoundServer

BLOCK = round(BLOCK_S * RATE)


def sweep(seconds: float = 1.0) -> NDArray[np.float32]:
    """Unlike itself at every shift: 200 Hz to 4 kHz."""
    time_s = np.arange(int(seconds * RATE)) / RATE
    phase = 2 * np.pi * (200 * time_s + (4000 - 200) / (2 * seconds) * time_s**2)
    return (0.3 * np.sin(phase)).astype(np.float32)


def find(sound: NDArray[np.float32], heard: NDArray[np.float32]) -> tuple[int, float]:
    """(place of `sound` in `heard` in samples, how alike they are there: 1 is the same)."""
    size = len(sound) + len(heard)
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(sound, size))
    products = np.fft.irfft(spectrum, size)[: len(heard) - len(sound) + 1]
    place = int(products.argmax())
    there = heard[place : place + len(sound)]
    alike = products[place] / max(1e-9, np.linalg.norm(there) * np.linalg.norm(sound))
    return place, float(alike)


def listen(microphone: Microphone, seconds: float) -> Iterator[Block]:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        block = microphone.read(timeout=1.0)
        if block is not None:
            yield block


def decibels(amplitude: float) -> float:
    return float(20 * np.log10(amplitude))


def hear_said(server: SoundServer, microphone: Microphone) -> None:
    """Say something, and expect the microphone to hear it, at the right time."""
    speaking = threading.Timer(0.3, server.say, [sweep()])
    speaking.start()
    blocks = list(listen(microphone, 2.5))
    speaking.join()
    assert {len(block.samples) for block in blocks} == {BLOCK}
    place, alike = find(sweep(), np.concatenate([block.samples for block in blocks]))
    assert alike > 0.98
    loud = blocks[(place + RATE // 2) // BLOCK]
    assert decibels(np.abs(loud.samples).max()) == pytest.approx(-10.5, abs=1)
    assert decibels(np.sqrt(np.mean(loud.samples**2))) == pytest.approx(-13.5, abs=1)
    # No gaps: the times of the blocks are those of the samples.
    begins = [block.at - number * BLOCK_S for number, block in enumerate(blocks)]
    assert max(begins) - min(begins) < 0.15
    assert abs(blocks[-1].end - time.monotonic()) < 0.5


def play_pulled(server: SoundServer) -> None:
    """Play something, and expect to capture it, when `latency` says that it is heard."""
    sound, position, pulled_at = sweep(), 0, 0.0

    def pull(count: int) -> NDArray[np.float32]:
        nonlocal position, pulled_at
        pulled_at = pulled_at or time.monotonic()
        part = sound[position : position + count]
        position += count
        return part

    with server.capture() as capture, Speaker(pull) as speaker:
        until = time.monotonic() + 5
        while position < len(sound) + RATE and time.monotonic() < until:
            speaker.check()
            time.sleep(0.05)
        latency = speaker.latency
    place, alike = find(sound, capture.samples)
    assert alike > 0.98
    heard_at = capture.started + place / RATE
    assert heard_at - pulled_at == pytest.approx(latency, abs=0.2)
    assert 0 < latency < 0.5
