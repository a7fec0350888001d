"""A voice detector for tests: the signal's value is the probability of speech."""

from __future__ import annotations

import numpy as np

from mimo_edge.audio.voice_activity import VoiceChunk


class ScriptedDetector:
    """Believes the samples: a chunk's mean is its probability."""

    def __init__(self, chunk: int) -> None:
        """`chunk`: samples that are judged together."""
        self._chunk = chunk
        self._pending = np.zeros(0, dtype=np.float32)
        self.resets = 0

    def feed(self, block: np.ndarray) -> list[VoiceChunk]:
        self._pending = np.concatenate([self._pending, block])
        count = len(self._pending) // self._chunk
        chunks = self._pending[: count * self._chunk].reshape(count, self._chunk)
        self._pending = self._pending[count * self._chunk :]
        return [VoiceChunk(float(chunk.mean()), self._chunk) for chunk in chunks]

    def reset(self) -> None:
        self._pending = self._pending[:0]
        self.resets += 1
