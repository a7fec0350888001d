"""When something was in a recording, of which only stretches were kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["Timeline"]


class Timeline:
    """Places in the kept samples of a recording ↔ places in the recording; both in samples."""

    def __init__(self, stretches: Sequence[tuple[int, int]]) -> None:
        """`stretches` are the (begin, end) that were kept, in order, one behind the other."""
        self._begins = np.array([begin for begin, _ in stretches])
        lengths = np.array([end - begin for begin, end in stretches])
        self._starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        """Where each stretch begins among the samples that were kept."""

    def span(self, begin: int, end: int) -> tuple[int, int]:
        """Where the kept samples `begin` to `end` (at least one) lie in the recording.

        At a cut both sides are possible; what is left out there does not count as theirs.
        """
        return self._place(begin), self._place(end - 1) + 1

    def breaks(self, longest: int) -> list[int]:
        """Places in the kept samples where more than `longest` samples were left out."""
        ends = self._begins[:-1] + np.diff(self._starts)
        left_out = self._begins[1:] - ends
        return [int(start) for start in self._starts[1:][left_out > longest]]

    def _place(self, kept: int) -> int:
        """Where one kept sample lies in the recording."""
        stretch = int(np.searchsorted(self._starts, kept, side="right")) - 1
        return int(self._begins[stretch] + kept - self._starts[stretch])
