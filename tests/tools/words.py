"""Words of the demo model as it ships, where it is part of what is tested."""

from __future__ import annotations

from training.words import word_errors

__all__ = ["nearly"]


def nearly(heard: str, said: str, share: float = 0.4) -> bool:
    """Whether at most two words of five, or this share of them, are wrong.

    The bundle that ships may take a word for another one on another processor, and then answer to
    that (`tests.tools.exact_demo`): `nine plus five is fourteen`. Never, in 1,800 answers and
    transcriptions, was even one word of a recorded question wrong; where something else is broken,
    there are no words like these. Of what it says itself it mishears two of five words once in
    twenty answers, and now and then three.
    """
    errors, words = word_errors(said, heard)
    return errors <= share * words
