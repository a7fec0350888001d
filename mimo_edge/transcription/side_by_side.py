"""Jobs that are done several at a time, and whose results come in the order of the jobs."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ..system.last_calls import call_before_end, call_no_more

__all__ = ["in_order"]

J = TypeVar("J")
R = TypeVar("R")
Work = Callable[[J, threading.Event], Iterator[R]]

_AHEAD = 4
"""Jobs that are done before the first of them is, for each of those that run: a slow one does not
stop the others soon, and what they made is not much."""
_LOOK_S = 0.5
"""Windows does not interrupt a thread that waits for ever."""


def in_order(
    jobs: Iterable[J], work: Work[J, R], *, at_once: int, cancel: threading.Event
) -> Generator[R, None, None]:
    """The results of each job's `work`, those of the first job first, as they come.

    Jobs are taken one by one when there is a place for them. `work` runs in threads, if more than
    one job is done at once, and gets an event that is set when its results are not wanted any
    more: `cancel` is, or the generator is closed.

    Raises:
        Whatever the jobs or their work raise; then the others are ended first.
    """
    if at_once == 1:
        for job in jobs:
            yield from work(job, cancel)
        return
    crew = _Crew(work, cancel)
    call_before_end(crew.end)  # a program may end with this generator half-way
    try:
        yield from crew.results(iter(jobs), at_once)
    finally:
        crew.end()
        call_no_more(crew.end)


class _Ended(threading.Event):
    """Set when it is set itself, and whenever the caller's own event is."""

    def __init__(self, cancel: threading.Event) -> None:
        super().__init__()
        self._cancel = cancel

    def is_set(self) -> bool:
        return super().is_set() or self._cancel.is_set()


@dataclass(eq=False)
class _Running(Generic[R]):
    """One job."""

    results: list[R] = field(default_factory=list)
    """That were not told yet."""
    ended: bool = False


@dataclass(frozen=True)
class _End:
    """The last that a thread tells of a job."""

    error: BaseException | None


class _Crew(Generic[J, R]):
    """The threads, and what they tell."""

    def __init__(self, work: Work[J, R], cancel: threading.Event) -> None:
        self._work = work
        self._ended = _Ended(cancel)
        self._told: queue.SimpleQueue[tuple[_Running[R], R | _End]] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def results(self, jobs: Iterator[J], at_once: int) -> Generator[R, None, None]:
        waiting: list[_Running[R]] = []
        left = True
        while True:
            running = sum(not job.ended for job in waiting)
            while left and running < at_once and len(waiting) < _AHEAD * at_once:
                job = next(jobs, None)
                left = job is not None
                if job is not None:
                    waiting.append(self._begin(job))
                    running += 1
            if not waiting:
                return
            self._listen()
            while waiting:
                first = waiting[0]
                while first.results:
                    yield first.results.pop(0)
                if not first.ended:
                    break
                waiting.pop(0)

    def end(self) -> None:
        """End what still runs, and wait for it."""
        self._ended.set()
        for thread in self._threads:
            with contextlib.suppress(RuntimeError):  # one that the system did not let begin
                thread.join()

    def _begin(self, job: J) -> _Running[R]:
        running: _Running[R] = _Running()

        def do() -> None:
            error = None
            try:
                for result in self._work(job, self._ended):
                    self._told.put((running, result))
            except BaseException as raised:  # raised again by whoever takes the results
                error = raised
            self._told.put((running, _End(error)))

        thread = threading.Thread(target=do, name="mimo_edge part", daemon=True)
        self._threads = [old for old in self._threads if old.is_alive()]
        self._threads.append(thread)
        thread.start()
        return running

    def _listen(self) -> None:
        """Take one thing that a thread tells."""
        while True:
            try:
                running, told = self._told.get(timeout=_LOOK_S)
                break
            except queue.Empty:
                continue
        if not isinstance(told, _End):
            running.results.append(told)
            return
        running.ended = True
        if told.error is not None:
            raise told.error
