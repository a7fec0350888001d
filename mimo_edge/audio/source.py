"""What a caller gives to hear from becomes an open, seekable file with a name for messages."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from ..errors import BadInputError

__all__ = ["Source", "open_source", "printable"]

_LARGEST_COPY = 4 << 30
"""Bytes that are copied of what cannot be read twice: 6 hours of a CD's sound."""
_PROBED = 1 << 20
"""Bytes of a pipe after which it has to be clear that they are sound."""
_BLOCK = 1 << 18

Probe = Callable[[str, BinaryIO, int], None]
"""Looks at (name, the beginning of what comes out of a pipe, its length in bytes), and raises
MimoEdgeError if that is no sound."""


@dataclass(frozen=True)
class Source:
    """An open file that holds a recording, maybe between other things."""

    name: str
    """What messages call it."""
    stream: BinaryIO
    """The file; it can be read at any place."""
    start: int
    end: int
    """The recording lies from `start` to `end`, in bytes."""


def printable(name: str | os.PathLike[str]) -> str:
    """A file's name for a message: bytes that are not text in any encoding as `\\xe9`."""
    text = os.fspath(name)
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half of a pair, which no file system's name becomes
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


@contextlib.contextmanager
def open_source(
    source: str | os.PathLike[str] | bytes | BinaryIO, probe: Probe
) -> Iterator[Source]:
    """Open a name (`-`: standard input), take the bytes of a file, or an open one from where it
    stands. Pipes are copied to a temporary file first, since decoders go back.

    Raises:
        MimoEdgeError: there is no such file, it cannot be read, or it is empty.
    """
    with contextlib.ExitStack() as opened:
        name, stream = _open(source, opened)
        try:
            stream = _seekable(name, stream, opened, probe)
            start = stream.tell()
            end = stream.seek(0, io.SEEK_END)
        except OSError as error:
            raise _unreadable(name, error) from error
        if end <= start:
            raise BadInputError(f"{name} is empty (0 bytes); record it again.")
        try:
            yield Source(name, stream, start, end)
        except OSError as error:  # a disk or a network that fails meanwhile
            raise _unreadable(name, error) from error


def _open(source: Any, opened: contextlib.ExitStack) -> tuple[str, BinaryIO]:
    if isinstance(source, (bytes, bytearray, memoryview)):
        return "the audio in memory", io.BytesIO(source)
    if isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        if path == "-":
            if sys.stdin is None:
                raise BadInputError("standard input is closed; give a file to read.")
            return "standard input", cast(BinaryIO, sys.stdin.buffer)
        return printable(path), opened.enter_context(_open_path(path))
    if isinstance(source, io.TextIOBase):
        raise BadInputError("the audio file is open as text; open it in binary mode, 'rb'.")
    if getattr(source, "closed", False):
        raise BadInputError("the audio file is closed; open it again.")
    if callable(getattr(source, "read", None)):
        label = getattr(source, "name", None)
        return printable(label) if isinstance(label, str) else "the stream", source
    raise BadInputError(
        f"{source!r:.60} ({type(source).__name__}) is no recording; give a file's name, an open "
        "file, the bytes of a file, or samples as an array."
    )


def _open_path(path: str) -> BinaryIO:
    name = printable(path) or "''"
    try:
        if Path(path).is_dir():
            raise BadInputError(f"{name} is not a file but a folder; give the recordings in it.")
        return Path(path).open("rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadInputError(f"{name} is not a file; give a recording to read.") from error
    except OSError as error:
        raise _unreadable(name, error) from error
    except ValueError as error:  # a null byte, or half of a surrogate pair
        raise BadInputError(f"{name!r} cannot be a file's name; give a recording.") from error


def _unreadable(name: str, error: OSError) -> BadInputError:
    reason = error.strerror or str(error) or type(error).__name__
    short = name if len(name) <= 100 else f"{name[:40]}…{name[-40:]}"
    return BadInputError(f"{short} cannot be read ({reason}); give another recording.")


def _seekable(name: str, stream: BinaryIO, opened: contextlib.ExitStack, probe: Probe) -> BinaryIO:
    """The stream itself, or a copy of what comes out of a pipe, which can be read at any place."""
    seekable = getattr(stream, "seekable", None)
    if seekable is not None and seekable():
        return stream
    copy: BinaryIO = opened.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
    size = 0
    while block := stream.read(_BLOCK):
        copy.write(block)
        if size < _PROBED <= size + len(block):
            probe(name, copy, size + len(block))
            copy.seek(0, io.SEEK_END)
        size += len(block)
        if size > _LARGEST_COPY:
            raise BadInputError(
                f"{name} does not end after {_LARGEST_COPY >> 30} GB; give a shorter recording."
            )
    copy.seek(0)
    return copy
