"""An event loop for threads that wait.

websockets has a client for threads too, but over TLS that one reads and writes from two threads at
once, and OpenSSL's connections do not allow it: about every five hundredth lost its first request
while the server's session tickets came in. In an event loop one thread does both.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["EventLoop", "EventLoopEnded"]

T = TypeVar("T")


class EventLoopEnded(Exception):
    """What was to be done is not done (to the end): `EventLoop.end` was called."""

    def __init__(self) -> None:
        super().__init__("it was ended here")


class EventLoop:
    """An event loop in a thread of its own, from the beginning until `end`.

    Any thread may call any method. Making one raises an OSError if the process has too many files
    open.
    """

    def __init__(self, name: str) -> None:
        self._loop: asyncio.AbstractEventLoop
        self._leave: asyncio.Event
        self._ended = False
        self._lock = threading.Lock()
        """So that nothing begins after `end`: it would never be done."""
        began: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, args=(began,), name=name, daemon=True)
        self._thread.start()
        began.result()

    def wait(self, what: Coroutine[Any, Any, T]) -> T:
        """What `what` returns, or raises, there.

        Raises:
            EventLoopEnded: it was ended before.
        """
        with self._lock:
            if self._ended:
                what.close()
                raise EventLoopEnded
            future = asyncio.run_coroutine_threadsafe(what, self._loop)
        try:
            return future.result()
        except concurrent.futures.CancelledError as error:
            raise EventLoopEnded from error
        except BaseException:  # Ctrl-C, if it is not one of its own: nobody waits for it any more
            future.cancel()
            raise

    def end(self, timeout: float) -> None:
        """Leave off what still goes on; returns after `timeout` seconds at the latest."""
        with self._lock:
            if not self._ended:
                self._ended = True
                self._loop.call_soon_threadsafe(self._leave.set)
        self._thread.join(timeout)

    def _run(self, began: concurrent.futures.Future[None]) -> None:
        try:
            asyncio.run(self._stay(began))
        except BaseException as error:
            if began.done():
                raise
            began.set_exception(error)

    async def _stay(self, began: concurrent.futures.Future[None]) -> None:
        self._loop, self._leave = asyncio.get_running_loop(), asyncio.Event()
        began.set_result(None)
        await self._leave.wait()
