"""Recordings in: files, open files and arrays become samples at the model's rate."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import soxr
from numpy.typing import NDArray

from ..bundle.manifest import AudioConfig
from ..errors import BadInputError, NotSoundError
from .arrays import array_name, from_array, is_array
from .containers import parts_of
from .decoding import Decoded, NotASoundFile, decode
from .media import decode_media, media_format
from .mixing import Mixer
from .parts import Part
from .source import open_source

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

AudioInput = str | os.PathLike[str] | bytes | BinaryIO | NDArray[Any] | tuple[NDArray[Any], int]
"""Sound to listen to:

- a file's name (`-`: standard input), whatever its ending: its content says what it is;
- an open binary file, which is read from where it stands and stays open, or `bytes`: the content
  of a sound file;
- `(samples, rate)`: an array and its rate in Hz;
- an array alone: the same at the model's own rate (`MimoAudio.sample_rate`).

Arrays are [samples] or [samples, channels]: floats within ±1 (any width), or integers (int8,
int16, int32, uint8, uint16), which are scaled by their type's range. Several channels become one.
"""

LONGEST_S = 4 * 3600
"""Seconds of sound that are read at most: 1.4 GB of samples at 24 kHz."""

_SMALLEST_RATE = 1000
_LARGEST_RATE = 768_000
_LOUDEST = 50.0
"""Full scale is 1. What is over it by a few times was mixed carelessly, what is over it by more
are integers in an array of floats."""


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
    collected = _Samples(rate, longest_s)
    if is_array(source):
        sound, name = from_array(source, rate), array_name()
        if isinstance(source, np.ndarray) and source.ndim == 1 and source.dtype == np.float32:
            # Nothing would change: an hour is 350 MB, which needs no copy.
            collected.check(sound, name)
            for _ in _mixed(sound, name):
                pass  # refuses what is no sound
            return Recording(name, source)
        collected.add(sound, name)
        return Recording(name, collected.all())
    with open_source(source, _probe) as file:  # type: ignore[arg-type]
        for part in parts_of(file.stream, file.start, file.end):
            collected.add(_decode(part, file.name), file.name)
    return Recording(file.name, collected.all())


def check_recording(source: AudioInput) -> None:
    """Refuse a file by its header, before a long computation; nothing is decoded.

    Raises:
        MimoEdgeError: it cannot be read, or its header states what `read_audio` refuses.
    """
    stated_by_header(source)


def stated_by_header(source: AudioInput) -> Stated:
    """How long a source says it is, and its channels; nothing is decoded.

    Raises:
        MimoEdgeError: as `check_recording`.
    """
    collected = _Samples(rate=1, longest_s=LONGEST_S)  # of any rate: nothing is resampled
    seconds, channels = 0.0, 0
    with open_source(source, _probe) as file:  # type: ignore[arg-type]
        for part in parts_of(file.stream, file.start, file.end):
            sound = _decode(part, file.name)
            collected.check(sound, file.name)
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


def _probe(name: str, stream: BinaryIO, length: int) -> None:
    """Refuse an endless stream of something else; what only looks damaged may still go on."""
    try:
        decode(parts_of(stream, 0, length)[0], name)
    except NotASoundFile as error:
        if error.unknown and media_format(Part(stream, 0, length)) is None:
            raise _not_sound(name, error) from error


def _not_sound(name: str, error: NotASoundFile) -> BadInputError:
    kind = NotSoundError if error.unknown else BadInputError
    return kind(
        f"{name} is not a sound file that libsndfile reads ({error}); "
        "convert it to WAV, FLAC, MP3 or OGG."
    )


def _decode(part: Part, name: str) -> Decoded:
    try:
        return decode(part, name)
    except NotASoundFile as error:
        kind = media_format(part)
        if kind is not None:
            return decode_media(part, name, kind)
        raise _not_sound(name, error) from error


class _Samples:
    """Mono sound at one rate, from files of any, in as little memory as it takes."""

    def __init__(self, rate: int, longest_s: float) -> None:
        self._rate, self._longest_s = rate, longest_s
        self._bytes = bytearray()  # grows in place, other than a list of arrays to join

    def all(self) -> NDArray[np.float32]:
        """Everything that was added, float32 [n]."""
        return np.frombuffer(self._bytes, dtype=np.float32)

    def add(self, sound: Decoded, name: str) -> None:
        """Put the sound of another file behind.

        Raises:
            MimoEdgeError: as `check`, or NaN, infinity, no sound's numbers, and too long.
        """
        self.check(sound, name)
        for block in _resampled(_mixed(sound, name), sound.rate, self._rate):
            self._bytes += block.tobytes()
            self._check_length(name, 0)

    def check(self, sound: Decoded, name: str) -> None:
        """Refuse by what the header states.

        Raises:
            MimoEdgeError: a rate that is none, or too long.
        """
        if not _SMALLEST_RATE <= sound.rate <= _LARGEST_RATE:
            raise BadInputError(
                f"{name} says its sample rate is {sound.rate} Hz; give one of {_SMALLEST_RATE} "
                f"to {_LARGEST_RATE} Hz."
            )
        if sound.frames is not None:
            self._check_length(name, sound.frames / sound.rate)

    def _check_length(self, name: str, more_s: float) -> None:
        seconds = len(self._bytes) / 4 / self._rate + more_s
        if seconds > self._longest_s:
            stated = f"is {_duration(seconds)} long" if more_s else "goes on"
            raise BadInputError(
                f"{name} {stated}, and at most {_duration(self._longest_s)} are read here; cut "
                "it into shorter recordings."
            )


def _duration(seconds: float) -> str:
    if seconds >= 2 * 3600:
        return f"{round(seconds / 3600, 1):,g} hours"
    return f"{seconds / 60:.3g} minutes" if seconds >= 120 else f"{seconds:.3g} s"


def _mixed(sound: Decoded, name: str) -> Iterator[NDArray[np.float32]]:
    mixer = Mixer(sound.channels, sound.rate)
    for block in sound.blocks:
        if not np.isfinite(block).all():
            raise BadInputError(f"{name} holds NaN or infinite samples; export it again.")
        loudest = float(np.abs(block).max(initial=0))
        if loudest > _LOUDEST:
            raise BadInputError(
                f"{name} holds samples of {loudest:.0f}, and full scale is 1: floats are within "
                "±1; divide integers by the largest of their type."
            )
        yield mixer.mix(block)


def _resampled(
    blocks: Iterator[NDArray[np.float32]], rate: int, target: int
) -> Iterator[NDArray[np.float32]]:
    if rate == target:
        yield from blocks
        return
    stream = soxr.ResampleStream(rate, target, 1, dtype="float32")
    for block in blocks:
        yield stream.resample_chunk(block)
    # The filter still holds the end of the sound.
    yield stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True)
