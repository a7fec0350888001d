"""Lines of JSON, and a file that holds whole ones only, whatever happens."""

from __future__ import annotations

import contextlib
import io
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal

from .atomic import sync_folder

__all__ = ["JsonLines", "json_line", "write_all"]


def json_line(record: dict[str, Any], encoding: str = "utf-8") -> str:
    """A record as one line of JSON without the line's end; unknown types become strings.

    Characters stand for themselves, unless one cannot be encoded: a console may lack it, and a
    file name that is no UTF-8 holds half of a surrogate pair. Then all others are `\\uXXXX`.
    """
    line = json.dumps(record, ensure_ascii=False, default=str)
    try:
        line.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(record, default=str)
    return line


class JsonLines:
    """A file of records, one a line, each written at once; a context manager.

    All methods raise OSError if the system refuses; then the lines before are still there.
    """

    def __init__(self, path: Path, mode: Literal["new", "append", "replace"]) -> None:
        """Open the file; with `new`, a file that exists already is an error."""
        self._folder = path.parent
        # Without a buffer: one would keep the rest of a line that the disk had no room for, and
        # write it later in front of another.
        self._file = io.FileIO(path, {"new": "x", "append": "a", "replace": "w"}[mode])

    def write(self, record: dict[str, Any]) -> None:
        """Add a line, or nothing at all if the disk is full."""
        self.write_line(json_line(record))

    def write_line(self, line: str) -> None:
        """Add a line that `json_line` made, or nothing at all if the disk is full."""
        before = self._file.tell()
        try:
            write_all(self._file, f"{line}\n".encode())
        except OSError:
            # Half a line would spoil the next one for whoever reads the file.
            self._file.seek(before)
            self._file.truncate()
            raise

    def close(self) -> None:
        """Close the file after all of it has reached the disk."""
        with contextlib.suppress(OSError):
            os.fsync(self._file.fileno())
        self._file.close()
        sync_folder(self._folder)

    def __enter__(self) -> JsonLines:
        """Return this object; the file is closed at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()


def write_all(file: BinaryIO, data: bytes) -> None:
    """Write to an unbuffered file.

    The system may take a part only, when the disk gets full, and says why the next time.
    """
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
