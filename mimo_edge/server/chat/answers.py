"""Spoken answers that the server gave, so that the next turn goes on from what was really said."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from ...prompt.positions import Positions

__all__ = ["Answers", "KeptAnswer", "new_answer"]

_KEPT_S = 60 * 60
_MOST = 512
_MOST_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True)
class KeptAnswer:
    """One of them."""

    id: str
    """Nobody can guess it."""
    expires_at: int
    """Seconds since 1970, after which it is forgotten."""


def new_answer() -> KeptAnswer:
    """For an answer that is going to be spoken."""
    return KeptAnswer(id=f"audio_{secrets.token_hex(16)}", expires_at=int(time.time()) + _KEPT_S)


class Answers:
    """The last spoken answers, each position as it was generated. For threads.

    The number, the memory and the time are bounded: what is too old is forgotten.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[int, Positions]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def keep(self, answer: KeptAnswer, positions: Positions) -> None:
        """Remember what was said."""
        # Codes are small numbers: half of what the model takes.
        small = Positions(positions.text_ids, positions.codes.astype(np.int32))
        with self._lock:
            self._kept[answer.id] = (answer.expires_at, small)
            self._bytes += _size(small)
            while len(self._kept) > _MOST or (self._bytes > _MOST_BYTES and len(self._kept) > 1):
                self._forget_oldest()

    def find(self, identifier: str) -> Positions | None:
        """What was said in the answer of this identifier; None if it is not known any more."""
        with self._lock:
            while self._kept and next(iter(self._kept.values()))[0] <= time.time():
                self._forget_oldest()
            found = self._kept.get(identifier)
        if found is None:
            return None
        return Positions(found[1].text_ids, found[1].codes.astype(np.int64))

    def _forget_oldest(self) -> None:
        _, (_, positions) = self._kept.popitem(last=False)
        self._bytes -= _size(positions)


def _size(positions: Positions) -> int:
    return positions.text_ids.nbytes + positions.codes.nbytes
