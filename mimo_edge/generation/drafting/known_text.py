"""Guesses where the text is known: speaking a given text repeats it."""

from __future__ import annotations

from collections.abc import Sequence

from .chance import Chance

__all__ = ["KnownText"]

_USUAL, _WEIGHT = 0.95, 40.0
_SEARCHED = 12
"""Ids around the expected one among which a lost place is looked for."""


class KnownText:
    """Follows a known text while it is said, and finds the place again where the words differ."""

    def __init__(self, forms: Sequence[Sequence[int]], begin: int) -> None:
        """`forms` of the same text, the likeliest first; it begins behind the text id `begin`."""
        self._forms = [list(form) for form in forms]
        self._begin = begin
        self._form: list[int] = []
        self._place: int | None = None
        """Of the next id in the form; None: nothing is said yet, or the place is lost."""
        self._near = 0
        """Where the place was last."""
        self._said: list[int] = []
        self.chance = Chance(_USUAL, _WEIGHT)

    def guess(self, most: int) -> list[int]:
        """The next ids of the text, at most so many; none where the place is not known."""
        return [] if self._place is None else self._form[self._place : self._place + most]

    def took(self, text_id: int) -> None:
        """The next id of the text channel, patches left out."""
        if text_id == self._begin:
            self._said, self._near = [], 0
            self._place, self._form = (0, self._forms[0]) if self._forms else (None, [])
            return
        if not self._form:
            return
        self._said.append(text_id)
        expected = self._place if self._place is not None else self._near + 1
        if self._place is None or self._form[self._place : self._place + 1] != [text_id]:
            self._place = self._other_form()
            if self._place is None:
                self._place = self._found(text_id, expected)
        if self._place is None:
            self._near = expected
            return
        self._place += 1
        self._near = self._place
        if self._place == len(self._form):  # all was said
            self._place = None

    def _other_form(self) -> int | None:
        """The place of the last id in another form of which all was said so far."""
        count = len(self._said)
        for form in self._forms:
            if form[:count] == self._said:
                self._form = form
                return count - 1
        return None

    def _found(self, text_id: int, expected: int) -> int | None:
        """The place of an id nearest to where it was expected, in front of it rather than behind.

        If the id before it is the same, too, it counts as nearer than any other.
        """
        places = range(max(0, expected - _SEARCHED), min(len(self._form), expected + _SEARCHED))
        before = self._said[-2] if len(self._said) > 1 else None
        found = [place for place in places if self._form[place] == text_id]

        def distance(place: int) -> tuple[bool, int, bool]:
            same_before = place > 0 and self._form[place - 1] == before
            return not same_before, abs(place - expected), place < expected

        return min(found, key=distance, default=None)
