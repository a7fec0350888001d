"""What was computed of the last conversations, for the requests that go on with them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from ...model import MimoAudio
from ...prompt.positions import Positions
from ...prompt_cache import PromptCache

__all__ = ["Conversations"]

_MOST_IDLE = 8
_OPENING = 8
"""Positions at the end of a prompt that open the answer; they differ from what the answer looks
like in the next prompt."""


@dataclass(frozen=True, kw_only=True)
class _Idle:
    """A cache that nobody uses just now."""

    cache: PromptCache
    prompt: int
    """Length of the prompt in it; behind that is the answer."""

    def common(self, prompt: Positions) -> tuple[int, bool]:
        """(positions that both begin with, whether nothing else would be lost by going on).

        Nothing is where the prompt repeats the one in the cache, or is a beginning of it. It is so,
        too, where next to nothing is left in the cache, because others needed the room.
        """
        kept = self.cache.positions
        common = kept.common_prefix(prompt)
        return common, common >= min(self.prompt, len(kept), len(prompt)) - _OPENING


class Conversations:
    """Caches of conversations between two requests. For threads.

    A request gets the cache of the conversation that it goes on with, as llama.cpp's server
    chooses a slot: the one with the longest common beginning. A request that begins something
    new does not get the cache of another conversation while there may be more of them.
    """

    def __init__(self) -> None:
        self._idle: list[_Idle] = []
        """The longest unused first."""
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def borrow(self, model: MimoAudio, prompt: Positions) -> Iterator[PromptCache]:
        """The cache to answer a prompt in; afterwards it is kept for the next request.

        Raises:
            MimoEdgeError: there is not enough memory for another one.
        """
        cache = self._take(prompt) or model.prompt_cache()
        try:
            yield cache
        finally:
            self._give_back(_Idle(cache=cache, prompt=len(prompt)))

    def _take(self, prompt: Positions) -> PromptCache | None:
        with self._lock:
            common = [idle.common(prompt) for idle in self._idle]
            full = len(self._idle) == _MOST_IDLE
            usable = [number for number, (_, goes_on) in enumerate(common) if goes_on or full]
            if not usable:
                return None
            return self._idle.pop(max(usable, key=lambda number: common[number][0])).cache

    def _give_back(self, idle: _Idle) -> None:
        with self._lock:
            self._idle.append(idle)
            if len(self._idle) > _MOST_IDLE:
                self._idle.pop(0).cache.close()
