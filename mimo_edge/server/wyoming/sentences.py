"""A text that comes piece by piece, cut where a speaker would pause.

What is short is spoken soon, so that the first sound does not wait for the end of a text, and a
text of any length fits the model's context.
"""

from __future__ import annotations

import re

__all__ = ["Sentences"]

_LONGEST = 240
"""Characters that are spoken in one go: some 15 s. A longer sentence is cut at a comma or between
two words."""
_END = re.compile(
    r"(?:[.!?…]+[\"'”’»)\]]*(?=\s)"  # only known to be an end when a blank follows: 3.5, "e.g."
    r"|[。！？]+[”’」』）]*"
    r"|\n)"
)
_PAUSE = re.compile(r"[,;:–—](?=\s)|[，；：、]")
_GOES_ON = re.compile(
    r"(?:\b(?:dr|mr|mrs|ms|prof|st|no|vs|approx|etc|e\.g|i\.e|bzw|z\.b|ca)|\b\w|\d)\.$",
    re.IGNORECASE,
)
"""A full stop that rather belongs to its word: `Dr.`, an initial, `1.` of a list."""
_MARKS = re.compile(r"[*`#_~|]+")
"""What language models decorate a text with, and nobody says."""


class Sentences:
    """Takes pieces of a text, gives sentences."""

    def __init__(self) -> None:
        self._text = ""

    def add(self, piece: str) -> list[str]:
        """The sentences that a further piece completes."""
        self._text += piece
        complete = []
        while (end := self._end()) is not None:
            complete.append(self._text[:end])
            self._text = self._text[end:]
        return _sayable(complete)

    def rest(self) -> list[str]:
        """What is left when nothing more comes."""
        last, self._text = self._text, ""
        return _sayable([last])

    def _end(self) -> int | None:
        """Where the first sentence ends; None as long as it may go on."""
        for match in _END.finditer(self._text, 0, _LONGEST + 1):
            goes_on = _GOES_ON.search(self._text[: match.end()]) is not None
            if not goes_on and _can_be_said(self._text[: match.end()]):
                return match.end()
        if len(self._text) <= _LONGEST:
            return None
        pauses = [match.end() for match in _PAUSE.finditer(self._text, 0, _LONGEST)]
        if pauses and pauses[-1] > _LONGEST // 4:
            return pauses[-1]
        blank = self._text.rfind(" ", 1, _LONGEST)
        return blank if blank > 0 else _LONGEST


def _sayable(sentences: list[str]) -> list[str]:
    cleaned = (" ".join(_MARKS.sub(" ", sentence).split()) for sentence in sentences)
    return [sentence for sentence in cleaned if _can_be_said(sentence)]


def _can_be_said(text: str) -> bool:
    """Whether there is a letter or a digit: for signs alone the model makes up some speech."""
    return any(character.isalnum() for character in text)
