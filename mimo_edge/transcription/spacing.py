"""Blanks between the texts of parts: one, but none where Chinese follows Chinese."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["Spacing", "joined"]

_WITHOUT_BLANKS = re.compile(r"[\u3000-\u303f\u3400-\u9fff\uff00-\uffef]")
"""Ideographs and the punctuation between them."""


def joined(texts: Iterable[str]) -> str:
    """The texts of parts as one, as `Spacing` puts it together."""
    spacing = Spacing()
    pieces = []
    for text in texts:
        spacing.next_part()
        pieces.append(spacing.push(text))
    return "".join(pieces)


class Spacing:
    """One blank between the texts of the parts, and none around the whole, in whatever pieces the
    text comes."""

    def __init__(self) -> None:
        self._last = ""
        """The character that was told last."""
        self._held = ""
        """Blanks that belong to the text only if something follows."""
        self._begins = True

    def next_part(self) -> None:
        """What is pushed from now on belongs to the next part."""
        self._held = ""
        self._begins = True

    def push(self, text: str) -> str:
        """What can be told now."""
        if self._begins:
            text = text.lstrip()
        kept = text.rstrip()
        if not kept:
            self._held += text
            return ""
        blanks = self._between(kept[0]) if self._begins else self._held
        self._begins, self._last, self._held = False, kept[-1], text[len(kept) :]
        return blanks + kept

    def _between(self, following: str) -> str:
        if not self._last:
            return ""
        both = _WITHOUT_BLANKS.match(self._last) and _WITHOUT_BLANKS.match(following)
        return "" if both else " "
