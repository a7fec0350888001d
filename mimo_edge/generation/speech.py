"""The one rule which patches of an answer are speech."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..prompt.positions import Positions
from ..prompt.text_tokenizer import TextTokenizer

__all__ = ["SpeechSpan"]


class SpeechSpan:
    """Follows an answer position by position: what lies between `<|sostm|>` and `<|eostm|>`.

    A prompt that ends with `<|sostm|>`, or with patches that are to be continued, has opened the
    speech already. Otherwise the model thinks in text first and opens it itself.
    """

    def __init__(self, tokenizer: TextTokenizer, *, opened: bool) -> None:
        """`opened`: whether the first position is speech already."""
        self._begin, self._end = tokenizer.id("<|sostm|>"), tokenizer.id("<|eostm|>")
        self._empty = tokenizer.id("<|empty|>")
        self._open = opened
        self._over = False

    @classmethod
    def behind(cls, prompt: Positions, tokenizer: TextTokenizer) -> SpeechSpan:
        """The speech of the answer to a prompt."""
        openings = (tokenizer.id("<|sostm|>"), tokenizer.id("<|empty|>"))
        return cls(tokenizer, opened=int(prompt.text_ids[-1]) in openings)

    def holds(self, text_id: int) -> bool:
        """Whether the next position of the answer, of this text id, is a patch of speech."""
        if text_id == self._begin:
            self._open = True
        elif text_id == self._end:
            self._over = True
        return text_id == self._empty and self._open and not self._over

    def mask(self, text_ids: Sequence[int] | NDArray[np.int32]) -> NDArray[np.bool_]:
        """For each of the next positions of the answer, whether it is a patch of speech."""
        return np.array([self.holds(int(text_id)) for text_id in text_ids], dtype=np.bool_)
