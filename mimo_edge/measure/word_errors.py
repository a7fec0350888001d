"""Word errors of a transcript, counted as the public MiMo-Audio-Eval counts them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["Language", "WordErrors", "normalized", "total_errors", "word_errors"]

Language = Literal["en", "zh"]
"""Of Chinese, characters are counted instead of words."""


@dataclass(frozen=True, kw_only=True)
class WordErrors:
    """What differs between what was said and what was written down."""

    substitutions: int
    insertions: int
    deletions: int
    words: int
    """Of what was said."""

    @property
    def errors(self) -> int:
        """All three kinds together."""
        return self.substitutions + self.insertions + self.deletions

    @property
    def rate(self) -> float:
        """Errors ÷ words; of nothing said, the number of words that were written down."""
        return self.errors / max(1, self.words)


def word_errors(said: str, written: str, language: Language = "en") -> WordErrors:
    """The fewest changes that make what was said of what was written down."""
    return _alignment(normalized(said, language), normalized(written, language))


def total_errors(each: Iterable[WordErrors]) -> WordErrors:
    """The counts of several transcripts together."""
    counts = list(each)
    return WordErrors(
        substitutions=sum(one.substitutions for one in counts),
        insertions=sum(one.insertions for one in counts),
        deletions=sum(one.deletions for one in counts),
        words=sum(one.words for one in counts),
    )


def normalized(text: str, language: Language = "en") -> list[str]:
    """Lower-case words without punctuation (apostrophes stay), or the characters of Chinese."""
    kept = "".join(
        char
        for char in text
        if char == "'" or not unicodedata.category(char).startswith(("P", "S"))
    )
    if language == "zh":
        return [char for char in kept if not char.isspace()]
    return re.split(r"\s+", kept.lower().strip()) if kept.strip() else []


def _alignment(said: Sequence[str], written: Sequence[str]) -> WordErrors:
    """Levenshtein's table, row by row; each cell holds (errors, substitutions, insertions,
    deletions), the least of which wins."""
    row = [(at, 0, at, 0) for at in range(len(written) + 1)]
    for place, word in enumerate(said, start=1):
        corner, row[0] = row[0], (place, 0, 0, place)
        for at, other in enumerate(written, start=1):
            missing, extra = row[at], row[at - 1]
            cell = min(
                corner if word == other else (corner[0] + 1, corner[1] + 1, corner[2], corner[3]),
                (missing[0] + 1, missing[1], missing[2], missing[3] + 1),
                (extra[0] + 1, extra[1], extra[2] + 1, extra[3]),
                key=lambda counts: counts[0],
            )
            corner, row[at] = row[at], cell
    _, substitutions, insertions, deletions = row[-1]
    return WordErrors(
        substitutions=substitutions, insertions=insertions, deletions=deletions, words=len(said)
    )
