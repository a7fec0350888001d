"""Sound as a caller wants it, encoded while it is made."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from typing import Any, Literal, Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

__all__ = ["MEDIA_TYPES", "Encoder", "SpeechFormat", "encoder"]

SpeechFormat = Literal["mp3", "opus", "flac", "wav", "pcm"]

MEDIA_TYPES: Mapping[str, str] = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
"""What HTTP calls each `SpeechFormat`."""

Samples = NDArray[np.float32]


class Encoder(Protocol):
    """Samples in, bytes of one file out. Whatever was put in comes out at the end, in order."""

    def encode(self, samples: Samples) -> bytes:
        """The bytes that are certain after these samples, float32 [n] within ±1; maybe none."""

    def finish(self) -> bytes:
        """The last bytes; nothing can be encoded behind it."""


def encoder(form: SpeechFormat, rate: int) -> Encoder:
    """Encodes mono sound at `rate` Hz.

    - `pcm`: 16 bit, little-endian, without a header.
    - `wav`: the same behind a header that says its length is unknown.
    - `mp3`: at a constant bit rate, so that players know how long it is without the tag that
      could be written only at the end.
    - `opus`: in Ogg, a page a second.
    - `flac`: all of it at the end. Its header holds the length; libsndfile and what is built on
      it cannot read a file in which that is missing.
    """
    if form == "pcm":
        return _Pcm(b"")
    if form == "wav":
        return _Pcm(_wav_header(rate))
    if form == "mp3":
        # 80 kbit/s at 24 kHz.
        options = {"bitrate_mode": "CONSTANT", "compression_level": 0.5}
        return _Libsndfile(rate, "MP3", "MPEG_LAYER_III", _Growing(), **options)
    if form == "opus":
        return _Libsndfile(rate, "OGG", "OPUS", _Growing())
    return _Libsndfile(rate, "FLAC", "PCM_16", _Whole())


class _Pcm:
    def __init__(self, header: bytes) -> None:
        self._header = header

    def encode(self, samples: Samples) -> bytes:
        header, self._header = self._header, b""
        return header + (np.clip(samples, -1, 1) * 32767).round().astype("<i2").tobytes()

    def finish(self) -> bytes:
        # A file without any samples still is a file.
        header, self._header = self._header, b""
        return header


def _wav_header(rate: int) -> bytes:
    """Of 16 bit mono sound whose length is not known yet; both sizes are the largest there are."""
    unknown = 0xFFFFFFFF
    form = struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16)
    sizes = struct.pack("<I", unknown)
    return b"RIFF" + sizes + b"WAVE" + b"fmt " + form + b"data" + sizes


class _Growing(io.RawIOBase):
    """A file whose bytes are taken away as they are written.

    When it closes a file, libsndfile goes back to write lengths into the header. Those bytes are
    gone already, so that is left out: MP3 and Ogg are whole without.
    """

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._taken = 0
        self._at = 0

    def take(self) -> bytes:
        """What was written since the last call."""
        taken, self._bytes = bytes(self._bytes), bytearray()
        self._taken += len(taken)
        return taken

    def write(self, data: Any) -> int:
        """Put bytes at the end; in front of it nothing is changed."""
        end = self._taken + len(self._bytes)
        if self._at == end:
            self._bytes += data
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go somewhere, as of any file."""
        end = self._taken + len(self._bytes)
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: end}[whence]
        return self._at

    def tell(self) -> int:
        """Where it is."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Nothing: it is written only."""
        return 0


class _Whole(io.BytesIO):
    """A file that is taken when it is complete."""

    def take(self) -> bytes:
        """Nothing, until it is."""
        return b""


class _Libsndfile:
    def __init__(
        self, rate: int, form: str, subtype: str, file: _Growing | _Whole, **options: Any
    ) -> None:
        self._file = file
        self._sound = soundfile.SoundFile(
            file, "w", rate, 1, format=form, subtype=subtype, **options
        )

    def encode(self, samples: Samples) -> bytes:
        self._sound.write(np.clip(samples, -1, 1))
        return self._file.take()

    def finish(self) -> bytes:
        self._sound.close()
        return self._file.getvalue() if isinstance(self._file, _Whole) else self._file.take()
