"""Guesses of a small text model, where neither a known text nor what was said before tells more."""

from __future__ import annotations

from ...errors import MimoEdgeError
from ...stages.backbone_draft import DraftText
from .chance import MOST_ROWS, Chance, worthwhile

__all__ = ["TextModel"]

_USUAL, _WEIGHT = 0.75, 8.0
_TRIED_AGAIN = 16
"""Ids after which a model whose guesses did not pay is asked once more."""


class TextModel:
    """Asks a draft model only where its guesses pay: each takes a reading of its own weights."""

    def __init__(self, text: DraftText, weight: float) -> None:
        """`weight`: what it reads for a guess, as a part of the backbone's."""
        self._text = text
        self._weight = weight
        self._guessed: list[int] = []
        """Guesses whose truth is not known yet."""
        self._silent = 0
        self.chance = Chance(_USUAL, _WEIGHT)

    def guess(self, most: int, price: float) -> list[int]:
        """The next ids, as many as pay where a row of a batch has this price."""
        count = min(most, MOST_ROWS, worthwhile(self.chance.value, price + self._weight))
        if not count and most:
            self._silent += 1
            count = int(self._silent % _TRIED_AGAIN == 0)
        try:
            self._guessed = self._text.guess(count) if count else []
        except MimoEdgeError:  # it was closed; the backbone says so, too, if it was
            self._guessed = []
        return list(self._guessed)

    def took(self, text_id: int) -> None:
        """What the next text id was, that of a patch included."""
        if self._guessed:
            right = self._guessed.pop(0) == text_id
            self.chance.note(right=right)
            if not right:
                self._guessed = []

    def added(self, text_id: int) -> None:
        """The text goes on with this id."""
        self._text.add(text_id)
