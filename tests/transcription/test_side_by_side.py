"""Jobs several at a time: their order, how many run, and what ends them."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator

import pytest

from mimo_edge.transcription.side_by_side import in_order
from tests.tools.children import run_child

ENDS_S = 30
"""A test that waits longer hangs."""


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_results_come_in_the_order_of_the_jobs(at_once: int) -> None:
    def work(job: int, ended: threading.Event) -> Iterator[str]:
        yield f"{job} begins"
        yield f"{job} ends"

    expected = [f"{job} {what}" for job in range(20) for what in ("begins", "ends")]
    assert list(in_order(range(20), work, at_once=at_once, cancel=threading.Event())) == expected
    assert list(in_order([], work, at_once=at_once, cancel=threading.Event())) == []


def test_so_many_run_at_once_and_no_more() -> None:
    together, most = threading.Barrier(3), 0
    running, lock = 0, threading.Lock()

    def work(job: int, ended: threading.Event) -> Iterator[int]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(ENDS_S)
        with lock:
            running -= 1
        yield job

    assert list(in_order(range(9), work, at_once=3, cancel=threading.Event())) == list(range(9))
    assert most == 3


def test_a_thread_that_cannot_begin_is_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not that nobody can wait for it; those that began are ended."""
    begin, begun = threading.Thread.start, list[threading.Thread]()

    def start(thread: threading.Thread) -> None:
        if begun:
            raise RuntimeError("can't start new thread")  # as where threads are limited
        begun.append(thread)
        begin(thread)

    def work(job: int, ended: threading.Event) -> Iterator[int]:
        assert ended.wait(ENDS_S)
        yield job

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="start new thread"):
        list(in_order(range(3), work, at_once=2, cancel=threading.Event()))
    assert not begun[0].is_alive()


def test_a_slow_first_one_does_not_stop_the_others() -> None:
    """But not without end: what is done ahead has to be kept."""
    release, begun = threading.Event(), []

    def work(job: int, ended: threading.Event) -> Iterator[int]:
        begun.append(job)
        if job == 7:
            release.set()
        if job == 0:
            assert release.wait(ENDS_S)
        yield job

    results = in_order(itertools.count(), work, at_once=2, cancel=threading.Event())
    with contextlib.closing(results):
        assert next(results) == 0
    assert 7 in begun and len(begun) < 20


@pytest.mark.parametrize("at_once", [1, 3])
def test_an_error_ends_the_others(at_once: int) -> None:
    ends = []

    def work(job: int, ended: threading.Event) -> Iterator[int]:
        if job == 1:
            raise ValueError("one")
        yield job
        if at_once > 1:
            assert ended.wait(ENDS_S) or True
            ends.append(ended.is_set())

    with pytest.raises(ValueError, match="one"):
        list(in_order(itertools.count(), work, at_once=at_once, cancel=threading.Event()))
    assert all(ends)


def test_an_error_of_the_jobs_themselves() -> None:
    def jobs() -> Iterator[int]:
        yield 1
        raise OSError("the disk")

    def work(job: int, ended: threading.Event) -> Iterator[int]:
        yield job

    with pytest.raises(OSError, match="the disk"):
        list(in_order(jobs(), work, at_once=2, cancel=threading.Event()))


def test_closing_ends_what_runs() -> None:
    ended_well = []

    def work(job: int, ended: threading.Event) -> Iterator[int]:
        yield job
        for _ in range(1000 * ENDS_S):
            if ended.is_set():
                ended_well.append(job)
                return
            threading.Event().wait(0.001)

    results = in_order(itertools.count(), work, at_once=3, cancel=threading.Event())
    assert next(results) == 0
    results.close()
    assert 0 in ended_well and not any(t.name == "mimo_edge part" for t in threading.enumerate())


def test_the_callers_event_reaches_the_work() -> None:
    cancel = threading.Event()

    def work(job: int, ended: threading.Event) -> Iterator[bool]:
        cancel.set()
        yield ended.is_set()

    assert set(in_order(range(4), work, at_once=2, cancel=cancel)) == {True}


def test_a_program_may_end_half_way() -> None:
    """What runs is ended, though nobody closed the results. (With what belongs to the program
    itself as work, Python would not close them.)"""
    child = run_child(
        """
import threading
from mimo_edge.transcription.side_by_side import in_order

apart = {}
exec("def work(job, ended):\\n    yield job\\n    while not ended.wait(0.01): pass", apart)
results = in_order(range(9), apart.pop("work"), at_once=2, cancel=threading.Event())
print(next(results))
"""
    )
    assert (child.status, child.out, child.err) == (0, "0\n", "")
