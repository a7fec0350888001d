"""Events for asyncio: a generator that computes runs in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from typing import TypeVar

__all__ = ["in_thread"]

_MOST_WAITING = 32
"""Items by which the thread may be ahead of the event loop."""

T = TypeVar("T")


class _Left(threading.Event):
    """Set when the reader left, and whenever the caller's own event is.

    The caller may cancel several answers with one event: leaving one of them must not set it.
    """

    def __init__(self, cancel: threading.Event | None) -> None:
        super().__init__()
        self._cancel = cancel

    def is_set(self) -> bool:
        """Whether the generator is to end."""
        return super().is_set() or (self._cancel is not None and self._cancel.is_set())


async def in_thread(
    begin: Callable[[threading.Event], Generator[T, None, None]], cancel: threading.Event | None
) -> AsyncGenerator[T, None]:
    """The items of a generator, which is made, run and closed in a thread.

    `begin` gets an event that is set when `cancel` is, or when the asynchronous generator is
    closed or cancelled, and has to end the other one soon. The thread then ends by itself; the
    event loop does not wait for it.
    """
    loop = asyncio.get_running_loop()
    items: asyncio.Queue[tuple[T] | BaseException | None] = asyncio.Queue()
    room = threading.Semaphore(_MOST_WAITING)

    def tell(item: tuple[T] | BaseException | None) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody listens
            loop.call_soon_threadsafe(items.put_nowait, item)

    def work() -> None:
        try:
            with contextlib.closing(begin(left)) as values:
                for value in values:
                    tell((value,))
                    if not left.is_set():
                        room.acquire()
        except BaseException as error:  # raised again where the items are asked for
            tell(error)
        tell(None)

    left = _Left(cancel)
    thread = threading.Thread(target=work, name="mimo_edge stream", daemon=True)
    thread.start()
    try:
        while (item := await items.get()) is not None:
            room.release()
            if isinstance(item, BaseException):
                raise item
            yield item[0]
    finally:
        left.set()
        # The thread waits at most once more. A release by a large number, for all that it may
        # still say, is a loop of so many in Python: an eighth of a second for a million.
        room.release()
