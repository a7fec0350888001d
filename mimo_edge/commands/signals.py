"""Signals that end a program: it unwinds as after Ctrl-C, so that nothing half-written is left.

A kill (SIGTERM), a terminal that is closed (SIGHUP), Ctrl-Break and a closed console on Windows.
"""

from __future__ import annotations

import _thread
import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from ..entry import at_once

__all__ = ["deadly", "deferred", "unwind"]

_ENDING = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)
_SAME_S = 3.0
"""A terminal that is closed tells its programs, and so does its shell: it is one wish."""


def unwind() -> None:
    """From now on such a signal raises KeyboardInterrupt, and so does Ctrl-C; for the main thread.

    One that is ignored, as `nohup` arranges it for SIGHUP, stays ignored.
    """
    if signal.getsignal(signal.SIGINT) in (signal.SIG_DFL, at_once()):
        signal.signal(signal.SIGINT, signal.default_int_handler)
    unwinding = _Unwinding()
    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, unwinding.begin)
    sys.unraisablehook = unwinding.send_again


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Let Ctrl-C and those signals wait until the block is done."""
    waiting: dict[int, None] = {}

    def remember(number: int, _: Any) -> None:
        waiting[number] = None

    before = {}
    try:
        for number in (signal.SIGINT, *_ENDING):
            before[number] = signal.signal(number, remember)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        for number in waiting:
            signal.raise_signal(number)


@contextlib.contextmanager
def deadly() -> Iterator[None]:
    """In the block, Ctrl-C and those signals end the process at once: for imports.

    There is nothing to put away yet, and an exception in the middle of the import of a library
    in C may get lost there.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *_ENDING)}
    heard = {number: handler for number, handler in before.items() if callable(handler)}
    try:
        for number in heard:
            signal.signal(number, at_once())
        yield
    finally:
        for number, handler in heard.items():
            signal.signal(number, handler)


class _Unwinding:
    """Turns the first of the signals that end a program into a KeyboardInterrupt."""

    def __init__(self) -> None:
        self._number = signal.SIGINT
        self._at = float("-inf")

    def begin(self, number: int, _: Any) -> None:
        now = time.monotonic()
        if now - self._at > _SAME_S:
            self._number, self._at = signal.Signals(number), now
            raise KeyboardInterrupt

    def send_again(self, ignored: sys.UnraisableHookArgs) -> None:
        """Python drops exceptions from C's callbacks (llama.cpp's log) and from finalizers.

        A Ctrl-C that happens to arrive in one would be lost, so it is sent once more.
        """
        if issubclass(ignored.exc_type, KeyboardInterrupt):
            self._at = float("-inf")
            threading.Timer(0.05, self._send).start()
        else:
            sys.__unraisablehook__(ignored)

    def _send(self) -> None:
        if hasattr(signal, "pthread_kill"):  # ends a system call as well
            signal.pthread_kill(threading.main_thread().ident or 0, self._number)
        else:
            _thread.interrupt_main(self._number)
