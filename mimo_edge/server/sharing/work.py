"""What is done for one caller: in threads, with an end that comes soon when it has to."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, TypeVar

from ...generation.asynchronous import in_thread
from ...generation.events import TurnStats
from ..requests.api_errors import ApiError
from .metrics import Outcome

__all__ = ["Answering", "Conversation", "Generated", "Work"]

T = TypeVar("T")
_GRACE_S = 10.0
"""Seconds that a computation in native code has to look at `cancel` before it is left alone."""

Generated = Callable[[TurnStats], None]
"""To be called with what an answer cost, once it is over: for the metrics, and for knowing how
many voices this machine carries."""


@dataclass(frozen=True, kw_only=True)
class Answering:
    """One answer of a conversation that is being made."""

    generated: Generated


class Conversation:
    """A live conversation; `cancel` is set when it is over, and ends all that still runs of it."""

    def __init__(
        self,
        pool: Executor,
        answering: Callable[[], contextlib.AbstractContextManager[Answering]],
    ) -> None:
        self.cancel = threading.Event()
        self.answering = answering
        """`with conversation.answering() as answering:` around the making of one answer, whose
        cost is told at its end: `answering.generated(stats)`."""
        self._pool = pool

    async def run(self, call: Callable[[], T]) -> T:
        """What a function returns that blocks, from a thread.

        Whoever is cancelled while waiting does not wait for the thread, which has to end by an
        event of its own.
        """
        return await _in_pool(self._pool, call)

    def events(
        self,
        begin: Callable[[threading.Event], Generator[T, None, None]],
        cancel: threading.Event | None = None,
    ) -> AsyncGenerator[T, None]:
        """The items of a generator that blocks; `begin` gets an event that ends it, which is set
        when `cancel` is (without one: when the conversation is over), or when nobody reads on.
        """
        return in_thread(begin, cancel or self.cancel)


class Work:
    """One request that is being worked on. `cancel` ends all of it within one step."""

    def __init__(self, pool: Executor) -> None:
        self.cancel = threading.Event()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done as soon as the work was ended from outside."""
        self.generated: Generated = lambda stats: None
        """To be called with the cost of every answer that was made for the request."""
        self.outcome: Outcome = "failed"
        """For the metrics, if it was ended or fails."""
        self._pool = pool
        self._why: ApiError | None = None

    def end(self, why: ApiError, outcome: Outcome = "failed") -> None:
        """End it before it is done."""
        if self._why is None:
            self._why, self.outcome = why, outcome
            self.cancel.set()
            self.ended.set_result(None)

    def check(self) -> None:
        """Raise why it was ended, if it was.

        Raises:
            ApiError: the caller left, it took too long, or the server ends.
        """
        if self._why is not None:
            raise self._why

    async def run(self, call: Callable[[], T]) -> T:
        """What a function returns that blocks, from a thread; it looks at `cancel` now and then.

        Whoever is cancelled while waiting leaves `cancel` set, so the function ends soon; nobody
        waits for one that does not.

        Raises:
            ApiError: the work was ended meanwhile; what the function returns then is dropped.
        """
        self.check()
        return await self._unless_ended(_in_pool(self._pool, call))

    async def events(
        self, begin: Callable[[threading.Event], Generator[T, None, None]]
    ) -> AsyncGenerator[T, None]:
        """The items of a generator that blocks; `begin` gets the event that ends it.

        Raises:
            ApiError: the work was ended meanwhile; what came until then was yielded.
        """
        self.check()
        async with contextlib.aclosing(in_thread(begin, self.cancel)) as items:
            while (item := await self._unless_ended(_next(items))) is not None:
                yield item[0]

    async def _unless_ended(self, coming: Coroutine[Any, Any, T]) -> T:
        """What comes of it, if the work is not ended before; then it has a little time yet.

        Raises:
            ApiError: why the work was ended.
        """
        running = asyncio.ensure_future(coming)
        either: set[asyncio.Future[Any]] = {running, self.ended}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                await asyncio.wait({running}, timeout=_GRACE_S)
            self.check()
            return running.result()
        except asyncio.CancelledError:
            self.cancel.set()
            raise
        finally:
            running.add_done_callback(_look_at)
            if not running.done():  # it only waits for a thread, which it leaves alone
                running.cancel()
                await asyncio.wait({running})


async def _next(items: AsyncGenerator[T, None]) -> tuple[T] | None:
    """The next item; None at the end."""
    try:
        return (await anext(items),)
    except StopAsyncIteration:
        return None


async def _in_pool(pool: Executor, call: Callable[[], T]) -> T:
    future = asyncio.get_running_loop().run_in_executor(pool, call)
    future.add_done_callback(_look_at)
    await asyncio.wait({future})  # which leaves the future alone when it is cancelled itself
    return future.result()


def _look_at(future: asyncio.Future[T]) -> None:
    """Asyncio complains of errors that nobody looked at."""
    if not future.cancelled():
        future.exception()
