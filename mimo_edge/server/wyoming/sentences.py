"""A text that comes piece by piece, in sentences: the first sound does not wait for its end."""

from __future__ import annotations

import re

from ...prompt.spoken_text import complete_part, has_words

__all__ = ["Sentences"]

_STARS = re.compile(r"(?<!\w)[*`]+(?=\S)|(?<=\S)[*`]+(?!\w)|^#+ ")
"""What language models decorate a text with, and nobody says: **so**, `so`, # so. Not 2 * 3."""


class Sentences:
    """Takes pieces of a text, gives sentences."""

    def __init__(self, most: int) -> None:
        """A sentence of more than `most` letters does not wait for its end."""
        self._most = most
        self._text = ""

    def add(self, piece: str) -> list[str]:
        """The sentences that a further piece completes."""
        self._text += piece
        complete = []
        while (end := complete_part(self._text, self._most)) is not None:
            complete.append(self._text[:end])
            self._text = self._text[end:].lstrip()
        return _said(complete)

    def rest(self) -> list[str]:
        """What is left when nothing more comes."""
        last, self._text = self._text, ""
        return _said([last])


def _said(sentences: list[str]) -> list[str]:
    plain = (_STARS.sub("", sentence.strip()).strip() for sentence in sentences)
    return [sentence for sentence in plain if has_words(sentence)]
