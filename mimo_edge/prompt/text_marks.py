"""Marks in a text that are meant for programs, taken out while the text is made."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["MarkFilter", "without_marks"]


class MarkFilter:
    """Takes marks out of a text that comes in pieces.

    What may be the beginning of a mark is held back until it is clear, so pieces are never told
    that would have to be taken back.
    """

    def __init__(self, marks: Sequence[str]) -> None:
        self._marks = tuple(marks)
        self._pattern = re.compile("|".join(map(re.escape, self._marks))) if marks else None
        self._held = ""
        self._found: list[str] = []

    @property
    def found(self) -> tuple[str, ...]:
        """The marks that were taken out, in their order."""
        return tuple(self._found)

    def push(self, text: str) -> str:
        """What can be told now, maybe nothing."""
        if self._pattern is None:
            return text
        text = self._take_out(self._held + text)
        begun = self._begun(text)
        self._held = text[len(text) - begun :]
        return text[: len(text) - begun]

    def finish(self) -> str:
        """What was held back and is no mark, since nothing follows."""
        rest, self._held = self._held, ""
        return rest

    def _take_out(self, text: str) -> str:
        assert self._pattern is not None
        self._found += self._pattern.findall(text)
        return self._pattern.sub("", text)

    def _begun(self, text: str) -> int:
        """How many characters at the end of a text may be the beginning of a mark."""
        longest = max(map(len, self._marks)) - 1
        for length in range(min(longest, len(text)), 0, -1):
            if any(mark.startswith(text[-length:]) for mark in self._marks):
                return length
        return 0


def without_marks(text: str, marks: Sequence[str]) -> str:
    """A whole text without these marks."""
    for mark in marks:
        text = text.replace(mark, "")
    return text
