"""Ctrl-C in a step of all answers: the model goes on, and with it the answers of other threads."""

from __future__ import annotations

import contextlib
import functools
import itertools
import sys
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

import pytest

from mimo_edge.engine import Engine
from mimo_edge.generation.evaluation import Evaluation
from mimo_edge.generation.position_cache import PositionCache
from tests.generation.test_scheduler import alone, answer, caches, options, plain, prompt


def interrupted_at(code: CodeType, number: int, call: Callable[[], object]) -> bool:
    """Raise KeyboardInterrupt before the line `number` of those that run of a function; whether
    there were so many."""
    left = number

    def enter(frame: FrameType, event: str, _: object) -> Any:
        return line if frame.f_code is code else None

    def line(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        left -= event == "line"
        if event == "line" and not left:
            sys.settrace(None)
            raise KeyboardInterrupt
        return line

    kept = sys.gettrace()
    sys.settrace(enter)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            call()
    finally:
        sys.settrace(kept)
    return not left


def test_an_answer_beside_the_one_that_is_interrupted(engine: Engine) -> None:
    """Wherever the cache was when it took what had been computed."""
    expected = alone(engine, 1)
    number = 1
    while True:
        with caches(engine, 2) as made, contextlib.ExitStack() as stack:
            first, second = (
                engine.scheduler.read(
                    stack.enter_context(engine.scheduler.running(answer(engine, cache, n)))
                )
                for n, cache in enumerate(made)
            )
            found = [next(second)]
            three: Callable[[], object] = functools.partial(list, itertools.islice(first, 3))
            more = interrupted_at(PositionCache.grown.__code__, number, three)
            found += second
            assert plain(found) == expected
        if not more:
            break
        number += 1
    assert number > 10


@pytest.mark.parametrize("number", range(1, 9))
def test_while_a_lock_is_awaited(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The thread that was interrupted does not count as stepping for ever."""
    expected = alone(engine, 0)
    left = number
    enter = threading.Condition.__enter__

    def unlucky(lock: threading.Condition) -> bool:
        nonlocal left
        mine = threading.get_ident() == threading.main_thread().ident
        left -= mine
        if mine and not left:
            raise KeyboardInterrupt
        return enter(lock)

    with caches(engine, 1) as (cache,):
        with monkeypatch.context() as patched, contextlib.suppress(KeyboardInterrupt):
            patched.setattr(threading.Condition, "__enter__", unlucky)
            engine.scheduler.evaluate(cache, prompt(engine, "Hello.")[:2])
        steps = engine.generation.steps(cache, prompt(engine, "Hello."), options(0))
        assert plain(list(steps)) == expected


def test_an_evaluation_that_is_left_is_over(engine: Engine) -> None:
    with caches(engine, 1) as (cache,):
        left = Evaluation(cache, prompt(engine, "Hello."))
        with engine.scheduler.running(left):
            pass
        assert left.ended
        assert alone(engine, 0)
        assert len(cache) == 0
