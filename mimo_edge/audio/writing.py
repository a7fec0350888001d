"""Speech out: sound files by their name."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from ..atomic import atomic_output
from ..errors import BadInputError
from .resampling import resample

__all__ = ["AUDIO_ENDINGS", "check_audio_name", "encode_audio", "write_audio"]

_OUTPUT_FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
    ".ogg": ("OGG", "OPUS"),
    ".opus": ("OGG", "OPUS"),
}


AUDIO_ENDINGS = tuple(_OUTPUT_FORMATS)
"""Endings of the names of files that can be written."""


def write_audio(
    path: Path, samples: NDArray[np.float32], rate: int, *, ending: str | None = None
) -> None:
    """Write mono float32 [samples] as WAV, FLAC, MP3, OGG or Opus, by the file's name.

    Samples beyond ±1 are clipped. The file appears whole or not at all. `ending`, for example
    `.wav`, says the format where the name does not.

    Raises:
        MimoEdgeError: an unknown ending, or the file cannot be written.
    """
    if ending is None:
        check_audio_name(path)
        ending = path.suffix
    # Encoded in memory: of a full disk or a missing folder libsndfile says "System error".
    encoded = encode_audio(samples, rate, ending)
    with atomic_output(path) as file:
        file.write(encoded)


def encode_audio(samples: NDArray[np.float32], rate: int, ending: str) -> bytes:
    """The bytes of a file with this ending of `AUDIO_ENDINGS`, as `write_audio` writes them."""
    form, subtype = _OUTPUT_FORMATS[ending.lower()]
    # The only rates that Opus knows.
    if subtype == "OPUS" and rate not in (8000, 12000, 16000, 24000, 48000):
        samples, rate = resample(samples, rate, 48000), 48000
    encoded = io.BytesIO()
    data = np.clip(samples, -1.0, 1.0)
    soundfile.write(encoded, data, rate, format=form, subtype=subtype)
    # Not `getbuffer`: with that view in a cycle of garbage, as an error's traceback is one, CPython
    # crashes where it clears the stream first. This copies nothing either.
    return encoded.getvalue()


def check_audio_name(path: Path) -> tuple[str, str]:
    """libsndfile's (format, subtype) for a file name; MimoEdgeError if the ending is unknown."""
    kind = _OUTPUT_FORMATS.get(path.suffix.lower())
    if kind is None:
        raise BadInputError(
            f"{path}: cannot tell the format from {path.suffix or 'a name without an ending'!r}; "
            f"use one of {' '.join(_OUTPUT_FORMATS)}.",
            about="ending",
        )
    return kind
