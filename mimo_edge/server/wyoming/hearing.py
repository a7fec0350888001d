"""Speech to text: a recording comes in pieces, its text goes back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...audio import read_at
from .messages import SoundFormat
from .reading import BadEventError

__all__ = ["Utterance"]

_MOST_FORMATS = 16
"""Changes of format within one recording: none, from every client that is known."""

_TYPES = {1: "u1", 2: "<i2", 4: "<i4"}
"""Bytes of a sample → NumPy's name for it."""


class Utterance:
    """What somebody says, while it arrives."""

    def __init__(self, most_bytes: int, most_seconds: float) -> None:
        self._most_bytes, self._most_seconds = most_bytes, most_seconds
        self._bytes = 0
        self._seconds = 0.0
        self._runs: list[tuple[SoundFormat, bytearray]] = []

    def add(self, sound: SoundFormat, payload: bytes) -> None:
        """Put a piece behind. Frames may be cut anywhere between two pieces.

        Raises:
            BadEventError: it is too long, or its format changes all the time.
        """
        self._bytes += len(payload)
        if self._bytes > self._most_bytes:
            raise BadEventError(
                f"a recording has more than {self._most_bytes:,} bytes; send files to "
                "/v1/audio/transcriptions of the HTTP server"
            )
        # Few bytes a second become many more at the model's rate.
        self._seconds += len(payload) / (sound.width * sound.channels * sound.rate)
        if self._seconds > self._most_seconds:
            raise BadEventError(
                f"a recording has more than {self._most_seconds:g} seconds; send it in parts"
            )
        if not self._runs or self._runs[-1][0] != sound:
            if len(self._runs) == _MOST_FORMATS:
                raise BadEventError("the format of a recording changes all the time")
            self._runs.append((sound, bytearray()))
        self._runs[-1][1].extend(payload)

    def samples(self, rate: int) -> NDArray[np.float32]:
        """All of it, mono, float32 [n] at `rate` Hz."""
        parts = [
            read_at((frames, sound.rate), rate).samples
            for sound, data in self._runs
            if len(frames := _frames(sound, bytes(data)))
        ]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _frames(sound: SoundFormat, data: bytes) -> NDArray[Any]:
    """Integers [frames, channels] of a type whose full scale is known."""
    size = sound.width * sound.channels
    data = data[: len(data) // size * size]
    integers: NDArray[Any]
    if sound.width == 3:  # NumPy has no such type: the bytes become the upper ones of int32
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        integers = wide.view("<i4")[:, 0]
    else:
        integers = np.frombuffer(data, _TYPES[sound.width])
    return integers.reshape(-1, sound.channels)
