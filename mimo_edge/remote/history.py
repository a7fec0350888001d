"""What was said so far, for a server that has forgotten it: after a lost connection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .client_events import create_item, sound_content, text_content

__all__ = ["History", "answer_name", "question_name"]

_LONGEST_S = 120.0
"""Seconds of questions that are kept: 6 MB to send again at 24 kHz."""


@dataclass
class _Exchange:
    question: NDArray[np.float32]
    answer: str


class History:
    """The latest questions as sound and what was heard of their answers as text.

    Answers come back as text because servers take no sound of an assistant's.
    """

    def __init__(self, rate: int) -> None:
        """Remember sound of `rate` Hz."""
        self._longest = round(_LONGEST_S * rate)
        self._exchanges: dict[int, _Exchange] = {}

    def keep(self, turn: int, question: NDArray[np.float32], answer: str) -> None:
        """So much of a turn was heard; again for one that is cut. The oldest make room."""
        self._exchanges[turn] = _Exchange(question, answer)
        while len(self._exchanges) > 1 and self._samples() > self._longest:
            del self._exchanges[next(iter(self._exchanges))]

    def drop(self, turn: int) -> None:
        """Nothing of it was heard: the turn never was."""
        self._exchanges.pop(turn, None)

    def items(self) -> Iterator[dict[str, Any]]:
        """The client's events that tell a server all of it."""
        for turn, exchange in self._exchanges.items():
            question, answer = question_name(turn), answer_name(turn)
            yield create_item(question, "user", sound_content(exchange.question), question)
            if exchange.answer:
                yield create_item(answer, "assistant", text_content(exchange.answer), answer)

    def _samples(self) -> int:
        return sum(len(exchange.question) for exchange in self._exchanges.values())


def question_name(turn: int) -> str:
    """What a question that is told again is called."""
    return f"question_{turn}"


def answer_name(turn: int) -> str:
    """What an answer that is told again is called."""
    return f"answer_{turn}"
