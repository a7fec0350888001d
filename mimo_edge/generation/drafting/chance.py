"""How likely a kind of guess is right, and how many guesses pay."""

from __future__ import annotations

__all__ = ["MOST_ROWS", "Chance", "row_price", "worthwhile"]

MOST_ROWS = 8
"""Guesses of one answer in one batch at most."""
_MEMORY = 64.0
"""Guesses after which older ones count half: what is said changes."""


class Chance:
    """How often a kind of guess was right, beginning with what is usual for it."""

    def __init__(self, usual: float, weight: float) -> None:
        """`usual` counts as much as `weight` guesses that were seen."""
        self._right = usual * weight
        self._seen = weight

    @property
    def value(self) -> float:
        """From 0 to 1."""
        return self._right / self._seen

    def note(self, *, right: bool) -> None:
        """A guess was right or not, whether or not anything was made of it."""
        self._right += right
        self._seen += 1
        if self._seen > _MEMORY:
            self._right /= 2
            self._seen /= 2


def row_price(threads: int, *, on_gpu: bool) -> float:
    """What one row more in a batch costs, in readings of the weights with one row.

    Measured on two cores with the released model's sizes: 0.95 for the second row, 0.7 on average
    for five more, 0.6 with repacked weights. There the arithmetic takes as long as the reading;
    with more cores, or a GPU, the reading limits, and rows beside it cost less.
    """
    return 0.05 if on_gpu else min(0.6, 1.2 / threads)


def worthwhile(chance: float, price: float) -> int:
    """How many guesses in a row pay, if each is right with this chance and costs that much.

    The i-th saves a reading if it and all before it are right.
    """
    count, all_right = 0, chance
    while all_right > price and count < MOST_ROWS:
        count += 1
        all_right *= chance
    return count
