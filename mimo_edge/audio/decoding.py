"""Sound files → blocks of samples, by libsndfile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import soundfile
from numpy.typing import NDArray

from ..errors import BadInputError
from .parts import Part

__all__ = ["BLOCK_S", "Decoded", "NotASoundFile", "decode"]

BLOCK_S = 0.25
"""Seconds of sound in a block, or less where there are many channels."""
_LARGEST_BLOCK = 1 << 18
"""Most samples in a block, all channels together."""
_UNKNOWN = "Format not recognised"
"""What libsndfile says of a file of no kind that it knows."""
_ENDLESS = 1 << 60
"""A number of samples above it is libsndfile's way to say that it is not known."""


class NotASoundFile(Exception):
    """A decoder does not know what this is; the message says why."""

    @property
    def unknown(self) -> bool:
        """Whether it is of no kind that libsndfile knows, rather than a damaged one."""
        return str(self) == _UNKNOWN


@dataclass(frozen=True)
class Decoded:
    """What a decoder says of a file before it decodes, and its samples."""

    rate: int
    channels: int
    frames: int | None
    """Samples per channel as the header states them; None if it does not."""
    blocks: Iterator[NDArray[np.float32]]
    """[n, channels], within ±1 unless the file holds other numbers."""


class _Reader(soundfile.SoundFile):  # type: ignore[misc]
    """Reads on to the end of the stream, whatever length the header states."""

    def seekable(self) -> bool:
        """No: otherwise soundfile seeks around each read, which unknown lengths do not allow."""
        return False


def decode(part: Part, name: str) -> Decoded:
    """Open a sound file. `name` is for messages; the format is what the file's start says.

    Raises:
        NotASoundFile: nothing that libsndfile reads.
    """
    try:
        part.seek(0)
        reader = _Reader(part)
    except (soundfile.SoundFileError, OSError, TypeError) as error:
        part.check()
        raise NotASoundFile(_reason(error)) from error
    part.check()
    frames = part.frames if part.frames is not None else reader.frames
    return Decoded(
        rate=reader.samplerate,
        channels=reader.channels,
        frames=frames if frames < _ENDLESS else None,
        blocks=_blocks(reader, part, name),
    )


def _blocks(reader: _Reader, part: Part, name: str) -> Iterator[NDArray[np.float32]]:
    longest = max(1, _LARGEST_BLOCK // reader.channels)
    size = min(longest, max(1, round(BLOCK_S * reader.samplerate)))
    done = 0
    with reader:
        while True:
            try:
                block = reader.read(size, dtype="float32", always_2d=True)
            except soundfile.SoundFileError as error:
                part.check()
                if part.exhausted and done:
                    return  # Cut off in the middle of a frame: the rest of it is lost.
                raise BadInputError(
                    f"{name} is damaged {done / reader.samplerate:.1f} s after its start "
                    f"({_reason(error)}); copy or export it again."
                ) from error
            part.check()
            if not len(block):
                return
            done += len(block)
            yield block


def _reason(error: Exception) -> str:
    if "possibly a pipe" in str(error):  # of a file that begins like an MP3 and is none
        return _UNKNOWN
    return str(error).rsplit(": ", 1)[-1].strip().rstrip(".")
