"""The user's sound on its way to the server, while it is spoken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .client_events import appends, clear, commit

__all__ = ["Upload"]

_NOTHING = np.zeros(0, dtype=np.float32)


class Upload:
    """Sends of a question only what the server does not have yet; for one thread."""

    def __init__(self) -> None:
        self._sent = _NOTHING
        """What is in the server's buffer."""

    def send(self, samples: NDArray[np.float32], send: Callable[[dict[str, Any]], None]) -> None:
        """Have `samples` in the server's buffer, float32 [n], and nothing else."""
        done = len(self._sent)
        if not np.array_equal(samples[:done], self._sent):  # that was another question
            send(clear())
            self._sent, done = _NOTHING, 0
        for event in appends(samples[done:]):
            send(event)
        self._sent = samples

    def commit(
        self, samples: NDArray[np.float32], name: str, send: Callable[[dict[str, Any]], None]
    ) -> None:
        """Make `samples` the user's turn, with an event of that name."""
        self.send(samples, send)
        self._sent = _NOTHING
        send(commit(name))

    def lose(self) -> None:
        """The server's buffer is empty."""
        self._sent = _NOTHING
