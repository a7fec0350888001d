"""Stretches of a sound that comes in blocks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["Passages"]


class Passages:
    """Stretches of a sound, asked for from its beginning to its end.

    What was asked for is forgotten, except the last `back` samples, in which the next stretch may
    begin.
    """

    def __init__(self, blocks: Iterator[NDArray[np.float32]], *, back: int = 0) -> None:
        """Of the blocks float32 [n] of a whole sound."""
        self._blocks, self._back = blocks, back
        self._start = 0
        """Where the samples that are held begin in the sound."""
        self._held = np.zeros(0, np.float32)

    def take(self, begin: int, end: int) -> NDArray[np.float32]:
        """The samples from `begin` to `end`, fewer where the sound ends before."""
        pieces, at = [self._held], self._start + len(self._held)
        while at < end and (block := next(self._blocks, None)) is not None:
            at += len(block)
            if at <= begin - self._back:
                pieces = [np.zeros(0, np.float32)]
            else:
                pieces.append(block)
        held = np.concatenate(pieces) if len(pieces) > 1 else pieces[0]
        start = at - len(held)
        taken = held[max(0, begin - start) : max(0, end - start)]
        forgotten = min(len(held), max(0, end - self._back - start))
        self._held, self._start = held[forgotten:], start + forgotten
        return taken
