"""Which text ids can come next in a spoken answer, as the models were trained to write it.

Between `<|sostm|>` and `<|eostm|>` come by turns five text ids and five patches, whose text id is
`<|empty|>`. The text ends with `<|eot|>`, after which only patches come (see
`prompt.positions.Layout`, which lays prompts out alike). So most text ids of an answer are certain
before the model has said a word about them, and the product with the language model's head, an
eighth of what a step reads, is not needed for them.
"""

from __future__ import annotations

from ..prompt.positions import PATCH_RUN, TEXT_RUN, Positions
from ..prompt.text_tokenizer import TextTokenizer

__all__ = ["TextFormat"]


class TextFormat:
    """Follows an answer id by id and names those that can come next.

    An answer that leaves the format, or that never enters it, may go on with any id.
    """

    def __init__(self, tokenizer: TextTokenizer, *, ends: frozenset[int], opened: bool) -> None:
        """An answer that one of the ids `ends` ends; `opened`: whether speech has begun already."""
        self._begin, self._end = tokenizer.id("<|sostm|>"), tokenizer.id("<|eostm|>")
        self._empty, self._text_end = tokenizer.id("<|empty|>"), tokenizer.id("<|eot|>")
        self._last = tuple(sorted({self._empty, self._end, *ends}))
        self._inside = opened
        self._text_over = False
        self._texts = self._patches = 0
        """Of the present run of text, and of the patches behind it."""

    @classmethod
    def behind(
        cls, prompt: Positions, tokenizer: TextTokenizer, ends: frozenset[int]
    ) -> TextFormat:
        """The format of the answer to a prompt."""
        opened = int(prompt.text_ids[-1]) == tokenizer.id("<|sostm|>")
        return cls(tokenizer, ends=ends, opened=opened)

    def possible(self) -> tuple[int, ...] | None:
        """The ids that can come next, ascending; None: any."""
        if not self._inside:
            return None
        if self._text_over:
            return self._last
        if self._patches:
            return (self._empty,) if self._patches < PATCH_RUN else None
        if self._texts < TEXT_RUN:
            return None
        # The end of the text belongs to its last run, which can so have six ids.
        return tuple(sorted((self._empty, self._text_end)))

    def take(self, text_id: int) -> None:
        """The next id of the answer."""
        if not self._inside:
            if text_id == self._begin:
                self._inside, self._text_over = True, False
                self._texts = self._patches = 0
            return
        if text_id == self._end:
            self._inside = False
        elif text_id == self._text_end:
            self._text_over = True
        elif self._text_over:
            self._inside = text_id == self._empty
        elif text_id == self._empty:
            # Patches before the run of text is whole: an answer of another format.
            self._inside = self._texts == TEXT_RUN
            self._patches += 1
        elif self._patches:
            self._inside = self._patches == PATCH_RUN
            self._texts, self._patches = 1, 0
        else:
            self._inside = self._texts < TEXT_RUN
            self._texts += 1
