"""Where runs of text end in speech: text and patches come in turns."""

from __future__ import annotations

from dataclasses import dataclass

from ...prompt.positions import PATCH_RUN, TEXT_RUN

__all__ = ["Marks", "Rhythm"]

_UNBOUNDED = 64
"""Ids of text that may follow where nothing is spoken."""


@dataclass(frozen=True, kw_only=True)
class Marks:
    """The control tokens that say where an answer is."""

    patch: int
    """`<|empty|>`, a patch instead of text."""
    speech: int
    """`<|sostm|>`, behind which text and patches come in turns."""
    text_end: int
    """`<|eot|>`, the end of the text in it."""
    speech_end: int
    """`<|eostm|>`."""


class Rhythm:
    """Follows an answer and says how many ids of text come before the next patch may.

    The lengths of the runs are those of the format until the answer shows others.
    """

    def __init__(self, marks: Marks) -> None:
        self._marks = marks
        self._lengths = {False: TEXT_RUN, True: PATCH_RUN}
        """Of runs of text and of runs of patches."""
        self._speaks = False
        self._text_over = False
        self._in_patches = False
        self._run = 0

    @property
    def text_ahead(self) -> int:
        """Ids of text that are expected before the next patch."""
        if not self._speaks:
            return 0 if self._in_patches else _UNBOUNDED
        if self._text_over:
            return 0
        if self._in_patches:
            return self._lengths[False] if self._run == self._lengths[True] else 0
        return max(0, self._lengths[False] - self._run)

    @property
    def text_may_end(self) -> bool:
        """Whether the end of the text may come next: it belongs to the run of text before it, which
        is longer by it."""
        if not self._speaks or self._text_over:
            return False
        return not self._in_patches or self._run == self._lengths[True]

    def took(self, text_id: int) -> None:
        """The next text id of the answer, or of the prompt before it."""
        marks = self._marks
        if text_id in (marks.speech, marks.speech_end):
            self._speaks = text_id == marks.speech
            self._text_over = self._in_patches = False
            self._run = 0
            return
        is_patch = text_id == marks.patch
        if self._run and is_patch != self._in_patches:
            if not self._text_over:  # the last run of text ends where the text does
                self._lengths[self._in_patches] = self._run
            self._run = 0
        self._in_patches = is_patch
        self._run += 1
        self._text_over |= text_id == marks.text_end
