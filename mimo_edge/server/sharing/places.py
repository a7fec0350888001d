"""Places at the model: so many requests are worked on at once, a bounded number waits in line."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable

__all__ = ["GivenUp", "LineFull", "Places"]


class GivenUp(Exception):
    """Whoever waited for a place does not want it any more."""


class LineFull(Exception):
    """So many wait already that nobody else may."""


class Places:
    """Who came first is first. For one event loop."""

    def __init__(self, count: Callable[[], int], most_waiting: int) -> None:
        """`count` says how many places there are just now, at least one."""
        self._count = count
        self._most_waiting = most_waiting
        self._line: deque[asyncio.Future[None]] = deque()
        self.taken = 0

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._line)

    @property
    def free(self) -> bool:
        """Whether whoever came now would not have to wait."""
        return not self._line and self.taken < self._count()

    @contextlib.asynccontextmanager
    async def place(self, given_up: asyncio.Future[None]) -> AsyncIterator[None]:
        """Have a place, after waiting for it; the future is done when that is not wanted any more.

        Raises:
            LineFull: at once.
            GivenUp: the future was done before there was a place.
        """
        if self.free:
            self.taken += 1
        else:
            await self._wait(given_up)
        try:
            yield
        finally:
            self.taken -= 1
            self.call_next()

    def call_next(self) -> None:
        """Give free places to those who wait; also to be called when there are more of them."""
        while self._line and self.taken < self._count():
            # The place is taken on behalf of who waits, who may find it so only later.
            self._line.popleft().set_result(None)
            self.taken += 1

    async def _wait(self, given_up: asyncio.Future[None]) -> None:
        if len(self._line) >= self._most_waiting:
            raise LineFull
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            # Not `wait_for`: of a turn that comes while it is cancelled it tells nothing.
            await asyncio.wait({turn, given_up}, return_when=asyncio.FIRST_COMPLETED)
            if not turn.done():
                raise GivenUp
        except BaseException:
            if turn.done():
                self.taken -= 1
                self.call_next()
            else:
                self._line.remove(turn)
            raise
