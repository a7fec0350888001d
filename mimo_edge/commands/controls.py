"""What a user asks for without speaking: Ctrl-C, and the Enter key of push to talk."""

from __future__ import annotations

import contextlib
import queue
import signal
import sys
import threading
from typing import Any, Literal

from ..errors import BadInputError

__all__ = ["Control", "Controls"]

Control = Literal["key", "interrupt", "end"]
"""Enter: begin or end a turn; Ctrl-C: end the turn in progress; end the conversation."""

_TWICE_S = 3.0
"""Two Ctrl-C within this time end the program."""


class Controls:
    """Hears Ctrl-C, and with `keys` the Enter key, while it is entered; for the main thread.

    Python runs a signal's handler in the main thread between any two of its steps. The handler
    only counts, and `poll` tells at a place that suits the conversation.
    """

    def __init__(self, *, keys: bool) -> None:
        self._hears_keys = keys
        self._keys: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._pressed = False
        self._interrupts = 0
        self._interrupted_at = float("-inf")
        self._before: Any = None

    def poll(self, now: float) -> list[Control]:
        """What was asked for since the last call, in order; `now` is seconds of one clock.

        Raises:
            MimoEdgeError: keys are needed, and standard input has none to give.
        """
        asked: list[Control] = []
        while not self._keys.empty():
            if self._keys.get() is None:
                if not self._pressed and not sys.stdin.isatty():
                    raise BadInputError(
                        "push to talk needs the Enter key, and standard input ended before it was "
                        "pressed; run it on a terminal."
                    )
                return [*asked, "end"]
            self._pressed = True
            asked.append("key")
        if self._interrupts:
            again = self._interrupts > 1 or now - self._interrupted_at < _TWICE_S
            self._interrupts, self._interrupted_at = 0, now
            asked.append("end" if again else "interrupt")
        return asked

    def __enter__(self) -> Controls:
        """Hear from now on."""
        self._before = signal.signal(signal.SIGINT, self._count)
        if self._hears_keys:
            # A daemon: nothing ends a thread that waits for a line.
            threading.Thread(target=self._read_keys, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave Ctrl-C to whoever had it before."""
        signal.signal(signal.SIGINT, self._before)

    def _count(self, *_: Any) -> None:
        self._interrupts += 1

    def _read_keys(self) -> None:
        """Every line is an Enter: terminals do not tell when a key is released."""
        with contextlib.suppress(OSError):  # closed, or a terminal that is gone
            for line in sys.stdin:
                self._keys.put(line)
        self._keys.put(None)
