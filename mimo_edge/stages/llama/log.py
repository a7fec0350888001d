"""llama.cpp's log: into Python's logging, with the first complaint kept for error messages."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import threading
from collections.abc import Iterator

import llama_cpp

from .native_callbacks import native_callback

__all__ = ["Complaints", "complaints"]

logger = logging.getLogger(__name__)

_ERROR = 4  # GGML_LOG_LEVEL_ERROR


class Complaints:
    """Errors that llama.cpp logged during one call."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @property
    def first(self) -> str:
        """The first of them: the others follow from it."""
        return self.lines[0].rstrip(".") if self.lines else "llama.cpp gives no reason"


class _Calls(threading.local):
    """The call that this thread is in: llama.cpp logs from the thread that calls it."""

    now: Complaints | None = None


_calls = _Calls()


@native_callback
def _receive(level: int, text: bytes, _: ctypes.c_void_p) -> None:
    line = text.decode("utf-8", "replace").strip()
    if not line.strip("."):
        return  # The dots of a loading bar.
    if level == _ERROR and _calls.now is not None:
        _calls.now.lines.append(line)
    logger.debug("%s", line)


_callback = llama_cpp.llama_log_callback(_receive)


@contextlib.contextmanager
def complaints() -> Iterator[Complaints]:
    """What llama.cpp complains of in the block; its log goes to logging at DEBUG.

    Put it around every call of llama.cpp that may fail. The callback is set each time: it is
    one for the whole process, and other users of llama.cpp may have set theirs.
    """
    llama_cpp.llama_log_set(_callback, ctypes.c_void_p(0))
    before, _calls.now = _calls.now, Complaints()
    try:
        yield _calls.now
    finally:
        _calls.now = before
