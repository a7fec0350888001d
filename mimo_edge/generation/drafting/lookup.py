"""Guesses from what was said before: the same words may go on the same way."""

from __future__ import annotations

from collections.abc import Sequence

from .chance import Chance

__all__ = ["Lookup"]

_USUAL = {4: 0.6, 3: 0.4, 2: 0.2}
"""Ids at the end that were together before, and how often they then go on alike. A guess from two
is rarely right; in an answer that repeats itself that shows soon."""
_WEIGHT = 4.0


class Lookup:
    """Finds the last ids of the text channel earlier in it; constant time for each id."""

    def __init__(self, text_ids: Sequence[int]) -> None:
        """`text_ids` is the text channel of the prompt, patches left out."""
        self._ids = list(text_ids)
        self._behind: dict[tuple[int, ...], int] = {}
        """For a few ids in a row: where what followed them last is."""
        self._chances = {length: Chance(usual, _WEIGHT) for length, usual in _USUAL.items()}
        self.chance = self._chances[2]
        """Of the last guess."""
        for length in self._chances:  # all of a long prompt at once: one by one it takes long
            groups = zip(*(text_ids[start:] for start in range(length)), strict=False)
            self._behind.update(zip(groups, range(length, len(text_ids)), strict=False))

    def guess(self, most: int) -> list[int]:
        """What followed the last ids where they came before, at most so many."""
        for length, chance in self._chances.items():
            place = self._behind.get(tuple(self._ids[-length:]))
            if place is not None and length <= len(self._ids):
                self.chance = chance
                found = self._ids[place : place + most]
                while len(found) < most:  # it reaches to the end: what repeats itself goes on so
                    found += found[: most - len(found)]
                return found
        return []

    def took(self, text_id: int) -> None:
        """The next id of the text channel."""
        count = len(self._ids)
        for length in self._chances:
            if count >= length:
                self._behind[tuple(self._ids[-length:])] = count
        self._ids.append(text_id)
