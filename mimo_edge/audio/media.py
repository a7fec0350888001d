"""What phones and browsers record (m4a, webm, 3gp …), by FFmpeg's libraries in PyAV.

An optional extra: its wheels have 36 MB (104 MB installed) and hold x264 and x265, which are
under the GPL; nothing else here needs them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInputError, MissingPackageError
from .decoding import BLOCK_S, Decoded
from .parts import Part

__all__ = ["decode_media", "media_format"]

_FORMATS: tuple[tuple[int, bytes, str, str], ...] = (
    (4, b"ftyp", "mov", "an MP4 recording (m4a, mp4, 3gp)"),
    (4, b"moov", "mov", "a QuickTime recording (mov)"),
    (4, b"mdat", "mov", "a QuickTime recording (mov)"),
    (0, b"\x1a\x45\xdf\xa3", "matroska", "a Matroska recording (webm, mkv)"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf", "a Windows Media recording (wma)"),
    (0, b"#!AMR", "amr", "an AMR recording"),
    (8, b"AVI ", "avi", "an AVI recording"),
    (0, b"FLV\x01", "flv", "a Flash recording"),
    (0, b"OggS", "ogg", "an Ogg recording of a codec that libsndfile lacks"),
    (0, b"\xff\xf1", "aac", "an AAC recording"),
    (0, b"\xff\xf9", "aac", "an AAC recording"),
)
"""(place, bytes that stand there, FFmpeg's name of the format, ours). FFmpeg is told the format
and does not guess: among those it knows are playlists, which name other files and addresses."""

_OGG_CODECS = (b"OpusHead", b"\x01vorbis", b"\x7fFLAC")


def media_format(part: Part) -> tuple[str, str] | None:
    """(FFmpeg's name of the format, what to call it); None if it is not one of these."""
    head = part.at(0, 64)
    if any(name in head for name in _OGG_CODECS):
        return None  # libsndfile knows it, this one is damaged
    for place, magic, name, title in _FORMATS:
        if head[place : place + len(magic)] == magic:
            return name, title
    return None


def _lenient(version: str) -> dict[str, Any]:
    """How this PyAV is asked to take titles that are no UTF-8; version 19 always does."""
    return {"metadata_errors": "replace"} if int(version.partition(".")[0]) < 19 else {}


def decode_media(part: Part, name: str, kind: tuple[str, str]) -> Decoded:
    """Open a file of one of these formats; its first sound is heard.

    Raises:
        MimoEdgeError: PyAV is not installed, the file is damaged, or it holds no sound.
    """
    try:
        import av
    except ImportError as error:
        raise MissingPackageError(
            f"{name} is {kind[1]}, which needs PyAV: install it with `pip install "
            "'mimo-edge[media]'`, or convert the file to WAV, FLAC, MP3 or OGG."
        ) from error
    part.seek(0)
    try:
        container = av.open(part, format=kind[0], **_lenient(av.__version__))
    except (av.FFmpegError, ValueError) as error:
        part.check()
        raise _damaged(name, kind, error) from error
    if not container.streams.audio:
        container.close()
        raise BadInputError(f"{name} holds no sound; give a recording.")
    stream = container.streams.audio[0]
    if not getattr(stream, "rate", 0) or not stream.channels:
        container.close()
        raise _damaged(name, kind, "its sound has no rate, no channels or an unknown codec")
    rate, channels = stream.rate, stream.channels
    frames = None
    if stream.duration and stream.time_base:
        frames = int(stream.duration * stream.time_base * rate)
    return Decoded(rate, channels, frames, _blocks(container, stream, part, name, kind))


def _blocks(
    container: Any, stream: Any, part: Part, name: str, kind: tuple[str, str]
) -> Iterator[NDArray[np.float32]]:
    import av

    size = max(1, round(BLOCK_S * stream.rate))
    resampler = av.AudioResampler("flt", stream.layout, stream.rate, frame_size=size)
    done = 0
    try:
        with container:
            for frame in _frames(container, stream):
                for piece in resampler.resample(frame):
                    block = piece.to_ndarray().reshape(-1, stream.channels)
                    done += len(block)
                    yield block
    except (av.FFmpegError, ValueError) as error:
        part.check()
        raise _damaged(name, kind, error, done / stream.rate) from error
    part.check()


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    """The decoded frames, and None at the end, which empties the resampler."""
    yield from container.decode(stream)
    yield None


def _damaged(name: str, kind: tuple[str, str], reason: object, seconds: float = 0) -> BadInputError:
    place = f" {seconds:.1f} s after its start" if seconds else ""
    reason = getattr(reason, "strerror", None) or reason
    return BadInputError(
        f"{name} is {kind[1]} that is damaged{place} ({reason}); copy or export it again."
    )
