"""The guesses for one answer: which source to ask, and how far to trust it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...stages.backbone_draft import DraftModel
from .chance import Chance, worthwhile
from .known_text import KnownText
from .lookup import Lookup
from .rhythm import Marks, Rhythm
from .text_model import TextModel

__all__ = ["Drafts", "Source"]


class Source(Protocol):
    """Something that guesses how the text goes on."""

    chance: Chance
    """How likely its last guess is right."""

    def guess(self, most: int) -> list[int]:
        """The next text ids, at most so many; none if it knows nothing."""

    def took(self, text_id: int) -> None:
        """What the next text id was."""


class Drafts:
    """Guesses at the next text ids of one answer.

    What they are depends on the answer's own ids alone, not on time: so the same answer is
    computed in the same batches every time, and is the same to the last bit.
    """

    def __init__(
        self,
        prompt: NDArray[np.int32],
        marks: Marks,
        known: Sequence[Sequence[int]] = (),
        *,
        price: float,
        model: DraftModel | None = None,
    ) -> None:
        """Nothing is said yet.

        Args:
            prompt: its text ids [positions], the patch's id at patches.
            marks: the control tokens.
            known: forms of a text that the answer repeats, the likeliest first.
            price: of a guess, in readings of the weights; see `row_price`.
            model: asked where no other source knows anything that pays; None: there is none.
        """
        self._price = price
        self._marks = marks
        self._rhythm = Rhythm(marks)
        text = prompt[prompt != marks.patch].tolist()
        known_text = KnownText([[*ids, marks.text_end] for ids in known], begin=marks.speech)
        self._sources: list[Source] = [known_text, Lookup(text)]
        draft = model.text(text) if model is not None else None
        self._model = TextModel(draft, model.weight) if model and draft else None
        if text and text[-1] == marks.speech:
            known_text.took(marks.speech)
        speech = np.flatnonzero(prompt == marks.speech)
        for text_id in prompt[speech[-1] if len(speech) else -1 :].tolist():
            self._rhythm.took(text_id)

    def next(self, most: int) -> list[int]:
        """The ids that are worth a try now, at most so many; often none."""
        for source in self._sources:
            ids = self._within_run(source.guess(min(most, self._rhythm.text_ahead + 1)))
            ids = ids[: worthwhile(source.chance.value, self._price)]
            if ids:
                return ids
        if self._model is None:
            return []
        return self._model.guess(min(most, self._rhythm.text_ahead), self._price)

    def took(self, text_id: int) -> None:
        """What the next id is, the patch's id included.

        Every source is measured by what it would have guessed, tried or not.
        """
        for source in self._sources:
            guessed = self._within_run(source.guess(1))
            if guessed:
                source.chance.note(right=guessed[0] == text_id)
            if text_id != self._marks.patch:
                source.took(text_id)
        if self._model is not None:
            self._model.took(text_id)
            if text_id != self._marks.patch:
                self._model.added(text_id)
        self._rhythm.took(text_id)

    def _within_run(self, ids: list[int]) -> list[int]:
        """Up to where a patch comes next, and the end of the text if it is right there."""
        ahead, end = self._rhythm.text_ahead, self._marks.text_end
        if end in ids:
            ids = ids[: ids.index(end) + 1]
        if ids[ahead : ahead + 1] == [end] and self._rhythm.text_may_end:
            ahead += 1
        return ids[:ahead]
