"""The last stretch of the microphone's sound, addressed by sample position."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

__all__ = ["Tape"]


class Tape:
    """Samples between two positions; positions count every sample since the start."""

    def __init__(self) -> None:
        self._blocks: deque[NDArray[np.float32]] = deque()
        self._first = 0
        """Position of the first sample of the first block; up to a block before `start`."""
        self.start = 0
        """Position of the oldest sample that can be read."""
        self.end = 0
        """Position after the newest sample."""

    def append(self, block: NDArray[np.float32]) -> None:
        """Add samples, float32 [n]; they are copied, sound systems reuse their buffers."""
        if len(block):
            self._blocks.append(np.array(block, dtype=np.float32))
            self.end += len(block)

    def forget_before(self, position: int) -> None:
        """Free what nobody will read any more; also a position that is not recorded yet."""
        self.start = max(self.start, min(position, self.end))
        while self._blocks and self._first + len(self._blocks[0]) <= self.start:
            self._first += len(self._blocks.popleft())

    def skip(self, count: int) -> None:
        """Count samples that are not recorded; what was recorded before them is gone."""
        self._blocks.clear()
        self.end += count
        self.start = self._first = self.end

    def read(self, start: int, end: int) -> NDArray[np.float32]:
        """A copy of the samples from one position to another: float32 [end - start]."""
        assert self.start <= start <= end <= self.end, (self.start, start, end, self.end)
        parts = [np.zeros(0, dtype=np.float32)]
        position = self._first
        for block in self._blocks:
            parts.append(block[max(start - position, 0) : max(end - position, 0)])
            position += len(block)
        return np.concatenate(parts)
