"""Recordings in: files, open files and arrays become samples at the model's rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..bundle.manifest import AudioConfig
from ..errors import BadInputError
from .sound import LONGEST_S, AudioInput, check_sound, open_sound, opened_files

__all__ = [
    "LONGEST_S",
    "AudioInput",
    "Recording",
    "Stated",
    "check_length",
    "check_recording",
    "read_at",
    "read_audio",
    "read_recording",
    "stated_by_header",
]


@dataclass(frozen=True, eq=False)
class Recording:
    """The sound of a source, with the source's name."""

    name: str
    """What messages call the source."""
    samples: NDArray[np.float32]
    """Mono float32 [n] within ±1, at the rate that was asked for."""


@dataclass(frozen=True, kw_only=True)
class Stated:
    """What the headers of a source state, before anything of it is decoded."""

    seconds: float
    """Of all its files together; those that do not state their length count 0."""
    channels: int
    """Of the file that has most."""


def read_audio(source: AudioInput, config: AudioConfig) -> NDArray[np.float32]:
    """Read, mix down to mono and resample: float32 [samples] at `config.sample_rate`.

    Raises:
        MimoEdgeError: nothing readable, no samples, NaN or infinity, too long, or too short for
            one analysis window.
    """
    return read_recording(source, config).samples


def read_recording(source: AudioInput, config: AudioConfig) -> Recording:
    """Read a source as mono float32 [n] at `config.sample_rate`, with its name for messages.

    Raises:
        MimoEdgeError: as `read_audio`.
    """
    recording = read_at(source, config.sample_rate)
    check_length(recording.name, len(recording.samples), config)
    return recording


def read_at(source: AudioInput, rate: int, *, longest_s: float = LONGEST_S) -> Recording:
    """Everything that a source holds, mono at `rate` Hz; maybe no samples at all.

    Joined files are read one after the other, and each to its end whatever its header says.
    More than `longest_s` seconds are refused before they are decoded, if the header tells.

    Raises:
        MimoEdgeError: as `read_audio`.
    """
    with open_sound(source, rate, longest_s=longest_s) as sound:
        if isinstance(source, np.ndarray) and source.ndim == 1 and source.dtype == np.float32:
            # Nothing would change: an hour is 350 MB, which needs no copy.
            for _ in sound.blocks():
                pass  # refuses what is no sound
            return Recording(sound.name, source)
        collected = bytearray()  # grows in place, other than a list of arrays to join
        for block in sound.blocks():
            collected += block.tobytes()
        return Recording(sound.name, np.frombuffer(collected, dtype=np.float32))


def check_recording(source: AudioInput) -> None:
    """Refuse a file by its header, before a long computation; nothing is decoded.

    Raises:
        MimoEdgeError: it cannot be read, or its header states what `read_audio` refuses.
    """
    stated_by_header(source)


def stated_by_header(source: AudioInput) -> Stated:
    """How long a source that is no array says it is, and its channels; nothing is decoded.

    Raises:
        MimoEdgeError: as `check_recording`.
    """
    seconds, channels = 0.0, 0
    with opened_files(source) as (name, files):
        for sound in files():
            check_sound(sound, name)
            seconds += (sound.frames or 0) / sound.rate
            channels = max(channels, sound.channels)
    return Stated(seconds=seconds, channels=channels)


def check_length(name: str, samples: int, config: AudioConfig) -> None:
    """Refuse a recording that is shorter than the log-mel's first frame reaches.

    Raises:
        MimoEdgeError: how long it is and has to be.
    """
    shortest = config.n_fft // 2 + 1
    if samples < shortest:
        raise BadInputError(
            f"{name} holds {1000 * samples / config.sample_rate:.0f} ms of sound; "
            f"at least {1000 * shortest / config.sample_rate:.0f} ms are needed."
        )
