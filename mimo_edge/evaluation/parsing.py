"""Which choice an answer names: the rules of the public evaluations, in words of this project."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = [
    "LETTERS",
    "choice_in",
    "closed_answer",
    "first_answer",
    "letter_in",
    "matches",
    "mmsu_letter",
    "option_letter",
]

LETTERS = "ABCD"

_ANSWER_IS = (
    re.compile(r"^[ \t]*(?:the\s+)?correct\s+(?:choice|answer)\s+is\s*[:-]?\s*(.*)$", re.I | re.M),
    re.compile(r"^[ \t]*answer\s*[:-]\s*(.*)$", re.I | re.M),
)
"""What is asked for may stand in the next line."""
_BOLD = re.compile(r"\*\*(.+?)\*\*")
_OPTION = re.compile(r"\boption\s*([abcd])\b", re.I)
_LETTER_PHRASES = (
    re.compile(r"\b(?:answer|choice)(?: to the (?:\S+ )?question)? (?:is|would be)"
               r"[:\s]*(?:option\s*)?[\"'(*]*([a-d])\b(?!')", re.I),
    _OPTION,
    re.compile(r"\b(?:select|choose|pick) [\"'(*]*([a-d])\b", re.I),
    re.compile(r"^[\"'(*]*([a-d])(?:[\"')*.,:;]|\s*$)", re.I),
    re.compile(r"\b([a-d])(?: is|\) is) (?:the )?(?:correct|right|best)\b", re.I),
    re.compile(r"\b(?:is|be|say)(?: typically| likely)?:?\s+[\"'(*]*([B-D]\b|A\b(?! [a-z]))"),
    re.compile(r"(?:^|[\s:(\"'*])([A-D])[\"')*.,:]"),
)  # fmt: skip
"""In the order in which they are tried."""
_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_NUMBERS = {
    **{word: value for value, word in enumerate(_ONES)},
    **{word: 10 * value for value, word in enumerate(_TENS, start=2)},
    **{
        f"{ten} {one}": 10 * place + value
        for place, ten in enumerate(_TENS, start=2)
        for value, one in enumerate(_ONES[1:10], start=1)
    },
}
_NUMBER = re.compile(
    r"\d+|" + "|".join(rf"\b{word}\b" for word in sorted(_NUMBERS, key=len, reverse=True))
)
_CLOSED: tuple[tuple[frozenset[str], re.Pattern[str]], ...] = (
    (frozenset({"yes", "no"}), re.compile(r"\b(?:yes|no)\b")),
    (frozenset({"valid", "invalid"}), re.compile(r"\b(?:not valid|invalid|valid)\b")),
)


def option_letter(text: str) -> str | None:
    """The letter behind the first "option", as few-shot answers of SpeechMMLU have it.

    A whole word: the public scorer also takes the "a" of "optional".
    """
    found = _OPTION.search(text)
    return found.group(1).upper() if found else None


def letter_in(text: str) -> str | None:
    """The letter that a free answer chooses, in the ways in which people put that."""
    for pattern in _LETTER_PHRASES:
        found = pattern.search(text.strip())
        if found:
            return found.group(1).upper()
    return None


def mmsu_letter(text: str) -> str | None:
    """MMSU's rule: the first character, else the last but one (as in "(B)"), if it is a letter.

    The public scorer leaves the prediction of the record before in place where an answer is empty,
    and counts that. Here an answer without a letter is wrong.
    """
    answer = text.strip().replace("\n", "")
    for place in (answer[:1], answer[-2:-1]):
        if place and place in LETTERS:
            return place
    return None


def first_answer(text: str) -> str:
    """The part of an answer that names a choice: what is said last behind "the correct answer is"
    or "answer:", else what is bold last, else the first line."""
    named = [_plain(found) for pattern in _ANSWER_IS for found in pattern.findall(text)]
    bold = [_plain(found) for found in _BOLD.findall(text)]
    for candidates in (named, bold):
        kept = [one for one in candidates if one]
        if kept:
            return kept[-1]
    return next((line for line in map(_plain, text.splitlines()) if line), "")


def matches(choice: str, answer: str, choices: Sequence[str]) -> bool:
    """MMAU's rule: the answer has all words of the choice, and none that only others have."""
    own, said = _words(choice), _words(answer)
    others = [words for words in map(_words, choices) if words != own]
    foreign = set[str]().union(*(words - own for words in others))
    return bool(said) and own <= said and not said & foreign


def choice_in(answer: str, choices: Sequence[str]) -> str | None:
    """The choice that an answer names by MMAU's rule; None: none, or more than one."""
    named = [choice for choice in choices if matches(choice, answer, choices)]
    return named[0] if len(named) == 1 else None


def closed_answer(text: str, expected: str) -> str | None:
    """What a free answer says, in the words of the expected one: yes or no, valid or invalid, a
    number. None: it says none of them.

    What follows "answer is" counts; else the last that is said, which comes behind the reasoning.
    """
    expected, said = expected.strip().lower(), text.lower().replace("-", " ")
    pattern, mark = _NUMBER, said.rfind("answer is")
    for words, known in _CLOSED:
        if expected in words:
            pattern = known
    found = pattern.search(said, mark) if mark >= 0 else None
    values = [found.group()] if found else pattern.findall(said)
    if not values:
        return None
    last = "invalid" if values[-1] == "not valid" else values[-1]
    return str(_NUMBERS.get(last, last))


def _plain(text: str) -> str:
    """Without marks of bold or code, quotation marks and punctuation around it."""
    return re.sub(r"\s+", " ", text.strip(" \t\r\n*`\"'.:;!?,"))


def _words(text: str) -> set[str]:
    return set(re.findall(r"\b\w+\b", text.lower()))
