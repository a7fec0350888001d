"""A recording as blocks of samples, gone through as often as needed and never in memory as a whole.

An hour at 24 kHz is 350 MB of samples. To find its pauses takes one look at all of it, to cut it
into parts another, and decoding takes seconds, where the model takes minutes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

import numpy as np
import soxr
from numpy.typing import NDArray

from ..errors import BadInputError, NotSoundError
from .arrays import array_name, from_array, is_array
from .containers import parts_of
from .decoding import Decoded, NotASoundFile, decode
from .media import decode_media, media_format
from .mixing import Mixer
from .parts import Part
from .source import open_source

__all__ = ["LONGEST_S", "AudioInput", "Sound", "check_sound", "open_sound", "opened_files"]

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

Blocks = Iterator[NDArray[np.float32]]


class Sound:
    """The sound of a source: mono float32 at one rate, in blocks."""

    def __init__(
        self,
        name: str,
        rate: int,
        files: Callable[[], Iterable[Decoded]],
        *,
        longest_s: float,
        kept_s: float,
    ) -> None:
        """`files` gives the source's files from their beginning, every time that it is called.

        Sound of at most `kept_s` seconds is kept once it was gone through to its end.
        """
        self.name = name
        """What messages call the source."""
        self.rate = rate
        """Hz, of the blocks."""
        self._files = files
        self._longest_s = longest_s
        self._most_kept = round(kept_s * rate)
        self._kept: list[NDArray[np.float32]] | None = None

    def blocks(self) -> Blocks:
        """All of it from the beginning, float32 [n] each, none of them empty.

        Raises:
            MimoEdgeError: it cannot be read, holds NaN, infinity or no sound's numbers, or is too
                long.
        """
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[NDArray[np.float32]] | None = []
        done = 0
        for block in self._read():
            done += len(block)
            if kept is not None:
                kept = [*kept, block] if done <= self._most_kept else None
            yield block
        self._kept = kept

    def _read(self) -> Blocks:
        """Decode, mix and resample one file after the other."""
        done = 0
        for sound in self._files():
            check_sound(sound, self.name, longest_s=self._longest_s, before_s=done / self.rate)
            for block in _resampled(_mixed(sound, self.name), sound.rate, self.rate):
                done += len(block)
                _check_length(self.name, done / self.rate, self._longest_s, goes_on=True)
                if len(block):
                    yield block


@contextlib.contextmanager
def open_sound(
    source: AudioInput, rate: int, *, longest_s: float = LONGEST_S, kept_s: float = 0
) -> Iterator[Sound]:
    """The sound of a source at `rate` Hz; files are open until the end of the block.

    Joined files are read one after the other, and each to its end whatever its header says.
    More than `longest_s` seconds are refused, before they are decoded if the header tells.

    Raises:
        MimoEdgeError: there is nothing that can be read.
    """
    bounds = {"longest_s": longest_s, "kept_s": kept_s}
    if is_array(source):
        yield Sound(array_name(), rate, lambda: [from_array(source, rate)], **bounds)
        return
    with opened_files(source) as (name, files):
        yield Sound(name, rate, files, **bounds)


@contextlib.contextmanager
def opened_files(source: AudioInput) -> Iterator[tuple[str, Callable[[], Iterable[Decoded]]]]:
    """The name of a source that is no array, and what decodes its files from their beginning.

    Raises:
        MimoEdgeError: there is no such file, or it is no sound.
    """
    with open_source(source, _probe) as file:  # type: ignore[arg-type]

        def files() -> Iterator[Decoded]:
            for part in parts_of(file.stream, file.start, file.end):
                yield _decode(part, file.name)

        yield file.name, files


def check_sound(
    sound: Decoded, name: str, *, longest_s: float = LONGEST_S, before_s: float = 0
) -> None:
    """Refuse a file by what its header states; `before_s` of the same recording were read.

    Raises:
        MimoEdgeError: a rate that is none, or too long.
    """
    if not _SMALLEST_RATE <= sound.rate <= _LARGEST_RATE:
        raise BadInputError(
            f"{name} says its sample rate is {sound.rate} Hz; give one of {_SMALLEST_RATE} "
            f"to {_LARGEST_RATE} Hz."
        )
    if sound.frames is not None:
        seconds = before_s + sound.frames / sound.rate
        _check_length(name, seconds, longest_s, goes_on=False)


def _check_length(name: str, seconds: float, longest_s: float, *, goes_on: bool) -> None:
    if seconds > longest_s:
        stated = "goes on" if goes_on else f"is {_duration(seconds)} long"
        raise BadInputError(
            f"{name} {stated}, and at most {_duration(longest_s)} are read here; cut "
            "it into shorter recordings."
        )


def _duration(seconds: float) -> str:
    if seconds >= 2 * 3600:
        return f"{round(seconds / 3600, 1):,g} hours"
    return f"{seconds / 60:.3g} minutes" if seconds >= 120 else f"{seconds:.3g} s"


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


def _mixed(sound: Decoded, name: str) -> Blocks:
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


def _resampled(blocks: Blocks, rate: int, target: int) -> Blocks:
    if rate == target:
        yield from blocks
        return
    stream = soxr.ResampleStream(rate, target, 1, dtype="float32")
    for block in blocks:
        yield stream.resample_chunk(block)
    # The filter still holds the end of the sound.
    yield stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True)
