"""Word errors."""

from __future__ import annotations

from collections.abc import Iterable

HOMOPHONES = {"to": "two"}


def normalize(text: str) -> list[str]:
    """Words in lower case without punctuation; homophones are one word."""
    words = "".join(c if c.isalpha() or c == " " else " " for c in text.lower()).split()
    return [HOMOPHONES.get(word, word) for word in words]


def word_errors(wanted: str, got: str) -> tuple[int, int]:
    """(edit distance in words, words wanted)."""
    a, b = normalize(wanted), normalize(got)
    row = list(range(len(b) + 1))
    for i, word in enumerate(a, start=1):
        corner, row[0] = row[0], i
        for j, other in enumerate(b, start=1):
            change = corner + (word != other)
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, change)
    return row[-1], len(a)


def word_error_rate(pairs: Iterable[tuple[str, str]]) -> float:
    """Over all (wanted, got) pairs."""
    counts = [word_errors(wanted, got) for wanted, got in pairs]
    return sum(errors for errors, _ in counts) / max(1, sum(words for _, words in counts))
