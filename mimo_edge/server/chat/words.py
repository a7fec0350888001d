"""The words of an answer while they come: thoughts, what is said, and where it has to end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["StopWords", "ThoughtSplitter", "Words"]

_THOUGHT_END = "</think>"


@dataclass(frozen=True)
class Words:
    """A piece of an answer."""

    text: str
    thought: bool = False
    """Whether it is thought rather than said."""


def _held_back(text: str, marks: Sequence[str]) -> int:
    """How many characters at the end of a text may be the beginning of one of the marks."""
    longest = max(map(len, marks), default=1) - 1
    for length in range(min(longest, len(text)), 0, -1):
        end = text[-length:]
        if any(mark.startswith(end) for mark in marks):
            return length
    return 0


class ThoughtSplitter:
    """Tells what the model thinks from what it says, without blanks in front of either."""

    def __init__(self, *, thinks: bool) -> None:
        """`thinks`: whether the answer begins with a thought."""
        self._thinks = thinks
        self._held = ""
        self._thoughts: list[str] = []
        self._begun = False

    def push(self, text: str) -> list[Words]:
        """The next piece of the answer, as far as it is clear what it is."""
        if not self._thinks:
            return self._words(text, thought=False)
        self._held += text
        thought, mark, said = self._held.partition(_THOUGHT_END)
        if mark:
            self._thinks, self._held = False, ""
            words = self._words(thought.rstrip(), thought=True)
            self._begun = False
            return [*words, *self._words(said, thought=False)]
        cut = len(self._held) - _held_back(self._held, [_THOUGHT_END])
        # Blanks behind a thought are no part of it, and none may be.
        cut = len(self._held[:cut].rstrip())
        thought, self._held = self._held[:cut], self._held[cut:]
        return self._words(thought, thought=True)

    def finish(self, *, complete: bool) -> list[Words]:
        """What was held back.

        A thought that never ended, in an answer that is `complete`, was the answer: there are
        models that do not think.
        """
        words = self._words(self._held.rstrip() if self._thinks else "", thought=True)
        if self._thinks and complete and self._thoughts:
            words.append(Words("".join(self._thoughts)))
        return words

    def _words(self, text: str, *, thought: bool) -> list[Words]:
        if not self._begun:
            text = text.lstrip()
        if not text:
            return []
        self._begun = True
        if thought:
            self._thoughts.append(text)
        return [Words(text, thought)]


class StopWords:
    """Ends a text in front of the first of some words; what may be one of them waits."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""
        self.met = False
        """Whether one of them came."""

    def push(self, text: str) -> str:
        """The next piece of the text, as far as it is in front of any of the words."""
        if self.met:
            return ""
        self._held += text
        found = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            self.met = True
            said, self._held = self._held[: min(found)], ""
            return said
        cut = len(self._held) - _held_back(self._held, self._stops)
        said, self._held = self._held[:cut], self._held[cut:]
        return said

    def finish(self) -> str:
        """What waited."""
        said, self._held = self._held, ""
        return said
