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


async def in_thread(
    begin: Callable[[], Generator[T, None, None]], cancel: threading.Event
) -> AsyncGenerator[T, None]:
    """The items of a generator, which is made, run and closed in a thread.

    When the asynchronous generator is closed or cancelled, `cancel` is set, which has to end the
    other one soon; the thread then ends by itself, and the event loop does not wait for it.
    """
    loop = asyncio.get_running_loop()
    items: asyncio.Queue[tuple[T] | BaseException | None] = asyncio.Queue()
    room = threading.Semaphore(_MOST_WAITING)

    def tell(item: tuple[T] | BaseException | None) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody listens
            loop.call_soon_threadsafe(items.put_nowait, item)

    def work() -> None:
        try:
            with contextlib.closing(begin()) as values:
                for value in values:
                    tell((value,))
                    room.acquire()
                    if cancel.is_set() and left.is_set():
                        return
        except BaseException as error:  # raised again where the items are asked for
            tell(error)
        tell(None)

    left = threading.Event()
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
        cancel.set()
        room.release()
