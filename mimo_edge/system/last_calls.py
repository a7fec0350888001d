"""What has to be ended before Python does: threads that somebody might wait for later.

Threads that are left when Python ends are frozen. A generator that waits for one when it is closed,
and is closed only when a program's names are cleared, would wait for ever (from Python 3.13).

Python's `atexit` alone would do, but up to 3.13 it keeps a place for each function that was ever
registered, and looks through all of them to take one back: a server makes thousands of answers.
"""

from __future__ import annotations

import atexit
import functools
from collections.abc import Callable

__all__ = ["call_before_end", "call_no_more"]

_waiting: dict[Callable[[], None], None] = {}
"""In the order in which they came."""


def call_before_end(end: Callable[[], None]) -> None:
    """Call `end` when Python ends, unless `call_no_more` comes before; the last ones come first."""
    _waiting[end] = None
    _register()


def call_no_more(end: Callable[[], None]) -> None:
    """Take it back: it has ended."""
    _waiting.pop(end, None)


@functools.cache
def _register() -> None:
    """Once, and not earlier: what is registered later is called earlier, and the model, which is
    there before any of its threads, is to be closed after them."""
    atexit.register(_call_all)


def _call_all() -> None:
    while _waiting:
        end, _ = _waiting.popitem()
        try:
            end()
        finally:  # Ctrl-C in one of them leaves out none of the others
            _call_all()
