"""Standard input, output and error as a command can rely on them.

A shell may close them (`>&-`), a console may lack characters, a disk may be full and a terminal
may be gone. Here they are made open, able to take any text, and honest:

- what cannot be encoded is replaced;
- results that cannot be written raise `OutputLost`, once; what is printed after that is dropped,
  so that the program can still put away what it has;
- nobody is told of notes that cannot be written: there is nowhere to say it.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
import threading
import time
from typing import Any, TextIO

__all__ = ["OutputLost", "lost_results", "prepare"]

_AGAIN_S = 0.01
"""Between two tries to write into a pipe that is full, where the system cannot tell."""


class OutputLost(Exception):
    """Standard output does not take the results; no MimoEdgeError, since nobody goes on then."""


class _Stream(io.FileIO):
    """Standard output or error as bytes, which remembers why it could not be written."""

    def __init__(self, descriptor: int, *, results: bool) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._to_tell = results
        self.problem: OSError | None = None
        """Why nothing is written any more; None: all is well."""

    def write(self, data: Any) -> int:
        """Write what the system takes now; returns how many bytes that are.

        Once something went wrong, all is dropped, and the main thread is told once.
        """
        while self.problem is None:
            try:
                written = super().write(data)
            except OSError as error:
                self.problem = error
            else:
                if written is not None:
                    return written
                # Another program made this terminal or pipe non-blocking, and it is full.
                if os.name == "posix":
                    select.select([], [self.fileno()], [])
                else:  # where only sockets can be waited for
                    time.sleep(_AGAIN_S)
        # A thread that draws has nobody to tell; the program learns it when it prints next.
        if self._to_tell and threading.current_thread() is threading.main_thread():
            self._to_tell = False
            raise OutputLost(str(self.problem)) from self.problem
        return memoryview(data).nbytes


def prepare() -> None:
    """Replace `sys.stdin`, `sys.stdout` and `sys.stderr` where that makes them more reliable.

    Streams that somebody else put there stay as they are.
    """
    _open_closed_descriptors()
    if sys.stdin is None:
        unreadable = io.FileIO(_nothing(os.O_WRONLY), "r", closefd=False)
        sys.stdin = io.TextIOWrapper(io.BufferedReader(unreadable), encoding="utf-8")
    elif sys.stdin is sys.__stdin__ and isinstance(sys.stdin, io.TextIOWrapper):
        # A byte that is no text is a sentence where the text is used, not wherever it is read.
        sys.stdin.reconfigure(errors="surrogateescape")
    sys.stdout = _replace(sys.stdout, sys.__stdout__, results=True)
    sys.stderr = _replace(sys.stderr, sys.__stderr__, results=False)


def lost_results() -> OSError | None:
    """Why not all that was printed to standard output arrived there, or None."""
    with contextlib.suppress(OutputLost):
        sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw.problem if isinstance(raw, _Stream) else None


def _open_closed_descriptors() -> None:
    """Otherwise the next file to be opened gets the number, and what native code prints."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # In the wrong direction, so that using it is an error, as if it were closed.
            if _nothing(os.O_WRONLY if descriptor != 1 else os.O_RDONLY) == descriptor:
                os.set_inheritable(descriptor, True)


def _nothing(direction: int) -> int:
    return os.open(os.devnull, direction)


def _replace(stream: TextIO | None, original: TextIO | None, *, results: bool) -> TextIO:
    errors = "replace" if results else "backslashreplace"
    if stream is None:
        raw = _Stream(_nothing(os.O_RDONLY if results else os.O_WRONLY), results=results)
        return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", errors=errors)
    if stream is not original or not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.flush()
    if not isinstance(getattr(stream.buffer, "raw", stream.buffer), io.FileIO):
        stream.reconfigure(errors=errors)  # a console of Windows
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(_Stream(stream.fileno(), results=results)),
        encoding=stream.encoding,
        errors=errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
