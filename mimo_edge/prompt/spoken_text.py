"""A text to be spoken, in parts that one answer each can hold.

A model of speech loses its place in a text that is longer than those it was trained with. So a
long text is spoken in parts: whole sentences where they fit, else clauses, else words.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

__all__ = ["TextPart", "complete_part", "has_words", "spoken_parts"]

_WIDE = 3
"""How many letters a Chinese, Japanese or Korean character takes to say, about."""

_CLOSERS = "\"'’”»)\\]）」』》"
_SENTENCE = re.compile(
    rf"[.!?…]+[{_CLOSERS}]*(?=\s)"  # Latin and the like: a blank has to follow, as in 3.14
    rf"|[。！？]+[{_CLOSERS}]*"
    r"|\n"
)
_CLAUSE = re.compile(r"[,;:](?=\s)|[—–](?=\s)|[，；：、]")
_WORD = re.compile(r"\s+")
_ABBREVIATION = re.compile(
    r"\b(?:[A-Za-z]|Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|vs|No|Fig|e\.g|i\.e|z\.B|d\.h|usw|etc)\.$"
)
"""A full stop behind one of these ends no sentence."""


@dataclass(frozen=True, kw_only=True)
class TextPart:
    """A piece of a text, without blanks around it."""

    text: str
    ends_sentence: bool
    """Whether a pause belongs behind it."""


def has_words(text: str) -> bool:
    """Whether there is anything in it to say: a letter, a digit, or a sign with a name like `%`."""
    return any(_is_said(character) for character in text)


def _is_said(character: str) -> bool:
    category = unicodedata.category(character)
    # Sm and Sc: + and €. Po holds % and &, which are said, beside full stops, which are not.
    return category[0] in "LN" or category in ("Sm", "Sc") or character in "%&@#‰％＆"


def spoken_parts(text: str, most: int) -> list[TextPart]:
    """The text in parts of at most `most` letters that have something to say, in its order.

    A part is as many whole sentences as fit. A sentence that is too long is cut behind a comma,
    between words, or, if a word alone is too long, anywhere. Characters that are written wide
    (Chinese, Japanese, Korean) count as three. Control characters count as blanks.
    """
    rest = _cleaned(text)
    parts: list[TextPart] = []
    while rest:
        cut, ends_sentence = _cut(rest, most)
        part, rest = _one_line(rest[:cut]), rest[cut:].lstrip()
        if has_words(part):
            parts.append(TextPart(text=part, ends_sentence=ends_sentence or not rest))
    return parts


def complete_part(text: str, most: int) -> int | None:
    """Where the first part of a text ends that may go on; None as long as that is not known.

    It is the first sentence with something to say, so that it can be said soon, or, of more than
    `most` letters without such an end, what `spoken_parts` would say first.
    """
    for found in _SENTENCE.finditer(text):
        sentence = text[: found.end()]
        if has_words(sentence) and not _ABBREVIATION.search(sentence):
            return found.end()
    return _cut(text, most)[0] if _longest(text, most) < len(text) else None


def _cleaned(text: str) -> str:
    """Without control characters but line breaks, and without blanks around it."""
    kept = (
        " " if unicodedata.category(one) == "Cc" and one != "\n" else one
        for one in text.replace("\r\n", "\n")
    )
    return "".join(kept).strip()


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _cut(text: str, most: int) -> tuple[int, bool]:
    """Where the first part ends, and whether a sentence ends there."""
    fits = _longest(text, most)
    if fits == len(text):
        return fits, True
    # One character more, so that a blank is seen behind a sentence that just fits.
    window = text[: fits + 1]
    sentences = [
        found.end()
        for found in _SENTENCE.finditer(window)
        if found.end() <= fits and not _ABBREVIATION.search(window[: found.end()])
    ]
    if sentences:
        return sentences[-1], True
    for boundary in (_CLAUSE, _WORD):
        # In the second half only: a part of one word sounds torn off.
        ends = [found.end() for found in boundary.finditer(window) if fits // 2 < found.end()]
        ends = [end for end in ends if end <= fits + 1]
        if ends:
            return ends[-1], False
    return _between_characters(text, fits), False


def _longest(text: str, most: int) -> int:
    """How many characters from the begin on take `most` letters to say; one at least."""
    weight = 0
    for index, character in enumerate(text):
        weight += _WIDE if unicodedata.east_asian_width(character) in "WF" else 1
        if weight > most:
            return max(1, index)
    return len(text)


def _between_characters(text: str, cut: int) -> int:
    """The cut, moved so that no accent is taken from its letter."""
    moved = cut
    while moved > 1 and unicodedata.category(text[moved])[0] == "M":
        moved -= 1
    return moved if moved > 1 else cut
