"""Functions of ours that native code calls, and exceptions in them."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

__all__ = ["interruptible", "native_callback"]

F = TypeVar("F", bound=Callable[..., Any])

_ours: set[Any] = set()


def native_callback(function: F) -> F:
    """Mark a function or method of a module as one that native code calls; see `interruptible`."""
    _ours.add(function)
    return function


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Native calls; behind them, what one of our callbacks raised is raised.

    An exception cannot pass through native code: ctypes prints and forgets it. That would be Ctrl-C
    whenever it arrives during a callback, even before its first line, where none can be caught.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are handled in the main thread only
        return
    raised: list[BaseException] = []
    before = sys.unraisablehook

    def keep(unraisable: Any) -> None:
        if _is_ours(unraisable):
            raised.append(unraisable.exc_value)
        else:
            before(unraisable)

    try:
        sys.unraisablehook = keep
        yield
    finally:
        sys.unraisablehook = before
    if raised:
        raise raised[0]


def _is_ours(unraisable: Any) -> bool:
    if unraisable.object is not None:
        return getattr(unraisable.object, "__func__", unraisable.object) in _ours
    # From Python 3.13 on the function is named in the message alone.
    message = unraisable.err_msg or ""
    return "ctypes callback" in message and any(
        f" {function.__qualname__} " in message for function in _ours
    )
