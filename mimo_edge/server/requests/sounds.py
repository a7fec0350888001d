"""Recordings that callers sent: looked at before they are decoded, and decoded within limits."""

from __future__ import annotations

import io
import threading
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from ...audio import Stated, read_at, stated_by_header
from ...errors import MimoEdgeError
from ..options import Limits
from .api_errors import ApiError, api_error

__all__ = ["NamedFile", "check_sound", "checked_file", "read_sound"]


def check_sound(source: bytes | BinaryIO, limits: Limits, *, param: str = "file") -> Stated:
    """What the header of a recording states, if that is within the limits; nothing is decoded.

    It reads the source, which may take a moment: call it in a thread (`Work.run`).

    Raises:
        ApiError: it is no sound (415), damaged (400), or too long or of too many channels (413).
    """
    try:
        stated = stated_by_header(_no_name(source))
    except MimoEdgeError as error:
        raise api_error(error, param) from error
    if stated.seconds > limits.upload_seconds:
        raise ApiError(
            413,
            f"{param}: it is {stated.seconds:.0f} s long, and at most "
            f"{limits.upload_seconds:g} s are taken; send shorter recordings.",
            code="audio_too_long",
            param=param,
        )
    if stated.channels > limits.upload_channels:
        raise ApiError(
            413,
            f"{param}: it has {stated.channels} channels, and at most {limits.upload_channels} "
            "are taken; mix it down.",
            code="too_many_channels",
            param=param,
        )
    return stated


def read_sound(
    source: bytes | BinaryIO,
    rate: int,
    limits: Limits,
    *,
    param: str = "file",
    cancel: threading.Event | None = None,
) -> NDArray[np.float32]:
    """A recording as float32 [n], mono at `rate` Hz, within the limits whatever its header states.

    It takes time in proportion to its length: call it in a thread (`Work.run`); `cancel` ends it.

    Raises:
        ApiError: as `check_sound`, if it turns out to be damaged or too long, and if it was ended.
    """
    if not isinstance(source, bytes):
        source = checked_file(source, limits, param=param, cancel=cancel)
    else:
        check_sound(source, limits, param=param)
    try:
        return read_at(_no_name(source), rate, longest_s=limits.upload_seconds).samples
    except MimoEdgeError as error:
        raise api_error(error, param) from error


def checked_file(
    file: BinaryIO,
    limits: Limits,
    *,
    param: str = "file",
    cancel: threading.Event | None = None,
) -> BinaryIO:
    """A recording that is to be decoded, from its beginning; it is read no further once `cancel`
    is set.

    Raises:
        ApiError: as `check_sound`; while it is read, if that was ended.
    """
    if cancel is not None:
        file = cast(BinaryIO, _Cancelled(file, cancel))
    check_sound(file, limits, param=param)
    file.seek(0)
    return file


def _no_name(source: bytes | BinaryIO) -> bytes | BinaryIO:
    if isinstance(source, str):  # the reader of recordings would take it for a file's name
        raise TypeError("a recording from a caller is bytes or an open file, never a name")
    return source


class NamedFile(io.RawIOBase):
    """A file with the name that messages call it by."""

    def __init__(self, file: SpooledTemporaryFile[bytes] | BinaryIO, name: str) -> None:
        self.name = name
        self._file = file

    def readable(self) -> bool:
        """Whether there is something to read from: always."""
        return True

    def seekable(self) -> bool:
        """Whether it can be read at any place: always."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position in bytes, and return it."""
        self._file.seek(offset, whence)
        return self._file.tell()

    def tell(self) -> int:
        """The position in bytes."""
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; how many bytes there were."""
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Cancelled(NamedFile):
    """A file that is read no further once that is not wanted any more."""

    def __init__(self, file: BinaryIO, cancel: threading.Event) -> None:
        super().__init__(file, getattr(file, "name", "the file"))
        self._cancel = cancel

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; how many bytes there were."""
        if self._cancel.is_set():
            raise ApiError(499, "the recording is not read to its end.", code="left")
        return super().readinto(buffer)
