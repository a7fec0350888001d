"""Loading all parts of a model at once: each spends most of its time in one core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

from ..system.cores import usable_cores

__all__ = ["load_together"]


class _Part(Protocol):
    def close(self) -> None:
        """Free it."""


def load_together(loads: Sequence[Callable[[], _Part]]) -> list[Any]:
    """What each of these gives, in their order; the first is called in this thread.

    If one fails, or if Ctrl-C comes, nothing stays loaded: what was loaded by then is closed. The
    error is that of the first one in their order that failed.
    """
    threads = ThreadPoolExecutor(min(len(loads), usable_cores()), thread_name_prefix="load")
    others: list[Future[_Part]] = []
    parts: list[_Part] = []
    try:
        others += [threads.submit(load) for load in loads[1:]]
        parts.append(loads[0]())
        return [*parts, *(other.result() for other in others)]
    except BaseException:
        threads.shutdown(wait=True, cancel_futures=True)
        parts += [other.result() for other in others if _loaded(other)]
        for part in parts:
            part.close()
        raise
    finally:
        threads.shutdown()


def _loaded(part: Future[_Part]) -> bool:
    return not part.cancelled() and part.exception() is None
