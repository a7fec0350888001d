"""A piece of a prompt that takes seconds: what is more urgent does not wait for it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import llama_cpp
import pytest

from mimo_edge.engine import Engine
from mimo_edge.generation.answer import RunningAnswer
from mimo_edge.generation.evaluation import Evaluation
from mimo_edge.prompt.positions import Positions
from mimo_edge.stages.llama.abort import AbortFlag
from tests.generation.test_scheduler import alone, caches, options, plain, prompt, small

A_MINUTE = 60


@dataclass
class Held:
    """The next piece waits inside of llama.cpp until it is to be ended, as a slow one would."""

    began: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    statuses: list[int] = field(default_factory=list)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    held = Held()
    process, put = llama_cpp.llama_process, AbortFlag.put

    def wait(context: int, kind: int, batch: int) -> int:
        if held.began.is_set():
            return int(process(context, kind, batch))
        held.began.set()
        assert held.ended.wait(A_MINUTE)
        held.statuses.append(int(process(context, kind, batch)))
        return held.statuses[-1]

    def note(flag: AbortFlag, up: bool) -> None:
        put(flag, up)
        if up:
            held.ended.set()

    monkeypatch.setattr(llama_cpp, "llama_process", wait)
    monkeypatch.setattr(AbortFlag, "put", note)
    yield held
    held.ended.set()


def long_prompt(engine: Engine) -> Positions:
    return engine.layout.text([*range(5, 105)])


def test_cancel_ends_a_piece(engine: Engine, held: Held) -> None:
    cancel = threading.Event()
    with caches(engine, 1) as (cache,), ThreadPoolExecutor() as threads:
        done = threads.submit(engine.scheduler.evaluate, cache, long_prompt(engine), cancel)
        assert held.began.wait(A_MINUTE)
        cancel.set()
        assert not done.result(A_MINUTE)
        assert held.statuses == [2]
        assert len(cache) == cache.sequence.length == 0
        # The cache is as good as new.
        steps = engine.generation.steps(cache, prompt(engine, "Hello."), options(0))
        assert plain(list(steps)) == alone(engine, 0)


def test_one_that_waits_can_be_cancelled_meanwhile(engine: Engine, held: Held) -> None:
    """And the piece in progress goes on."""
    cancel = threading.Event()
    with caches(engine, 2) as (first, second), ThreadPoolExecutor() as threads:
        begun = threads.submit(engine.scheduler.evaluate, first, long_prompt(engine))
        assert held.began.wait(A_MINUTE)
        waits = threads.submit(engine.scheduler.evaluate, second, long_prompt(engine), cancel)
        cancel.set()
        assert not waits.result(A_MINUTE)
        assert not held.ended.is_set()
        held.ended.set()
        assert begun.result(A_MINUTE)
        assert held.statuses == [0]
        assert len(first) == 100


def test_an_answer_that_begins_goes_first(engine: Engine, held: Held) -> None:
    """One whose prompt was evaluated in advance; the piece is evaluated again beside it."""
    expected = alone_without(held, engine)
    with caches(engine, 2) as (long, talking), ThreadPoolExecutor() as threads:
        wanted = prompt(engine, "Hello.")
        assert engine.scheduler.evaluate(talking, wanted)
        held.began.clear()
        begun = threads.submit(engine.scheduler.evaluate, long, long_prompt(engine))
        assert held.began.wait(A_MINUTE)
        answer = RunningAnswer(talking, wanted, options(0), engine.layout, frozenset())
        with engine.scheduler.running(answer):
            steps = engine.scheduler.read(answer)
            found = [next(steps)]
            assert held.statuses == [2]
            assert not begun.done()
            found += steps
        assert begun.result(A_MINUTE)
        assert plain(found) == expected
        assert len(long) == long.sequence.length == 100


def test_a_prompt_that_begins_waits_for_the_piece(engine: Engine, held: Held) -> None:
    with caches(engine, 2) as (first, second), ThreadPoolExecutor() as threads:
        begun = threads.submit(engine.scheduler.evaluate, first, long_prompt(engine))
        assert held.began.wait(A_MINUTE)
        other = threads.submit(engine.scheduler.evaluate, second, long_prompt(engine))
        assert not held.ended.wait(0.5)
        held.ended.set()
        assert begun.result(A_MINUTE) and other.result(A_MINUTE)
        assert held.statuses == [0]


def test_ctrl_c_is_heard_in_a_piece(engine: Engine, held: Held) -> None:
    kept = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with caches(engine, 1) as (cache,):

            def press() -> None:
                assert held.began.wait(A_MINUTE)
                os.kill(os.getpid(), signal.SIGINT)

            threading.Thread(target=press).start()
            with pytest.raises(KeyboardInterrupt):
                engine.scheduler.evaluate(cache, long_prompt(engine))
            assert len(cache) == 0
            steps = engine.generation.steps(cache, prompt(engine, "Hello."), options(0))
            assert plain(list(steps)) == alone(engine, 0)
            assert held.statuses == [2]
    finally:
        signal.signal(signal.SIGINT, kept)


def test_a_flag_that_comes_too_late_ends_nothing_else(engine: Engine, held: Held) -> None:
    """It was meant for a piece that was over already; here a step is in progress."""
    expected = alone_without(held, engine)
    held.began.clear()
    with caches(engine, 1) as (cache,), ThreadPoolExecutor() as threads:
        wanted = prompt(engine, "Hello.")[:1]
        evaluation = Evaluation(cache, wanted)
        assert evaluation.missing == 1  # a step, and no piece

        def read() -> bool:
            return engine.scheduler.evaluate(cache, wanted)

        done = threads.submit(read)
        assert held.began.wait(A_MINUTE)
        engine.backbone.opened().stop()
        assert done.result(A_MINUTE)
        assert held.statuses == [2]
        assert len(cache) == cache.sequence.length == 1
    assert alone(engine, 0) == expected


def alone_without(held: Held, engine: Engine) -> list[tuple[int, list[int]]]:
    """What the first answer is, before anything is held."""
    held.began.set()
    return alone(engine, 0)


def test_who_was_ended_in_the_first_piece_keeps_no_place(
    reference_bundle: Path, held: Held
) -> None:
    """The other one gets the only number of llama.cpp's, although the first is still open."""
    cancel, late = threading.Event(), threading.Event()
    with (
        small(reference_bundle, 160, conversations=1) as engine,
        caches(engine, 2) as (ended, other),
        ThreadPoolExecutor() as threads,
    ):
        done = threads.submit(engine.scheduler.evaluate, ended, long_prompt(engine), cancel)
        assert held.began.wait(A_MINUTE)
        cancel.set()
        assert not done.result(A_MINUTE)
        end = threading.Timer(A_MINUTE, late.set)
        end.start()
        assert engine.scheduler.evaluate(other, prompt(engine, "Hello."), late)
        end.cancel()


def test_positions_of_an_evaluation_that_was_ended_make_room(reference_bundle: Path) -> None:
    """They are in the sequence, and nobody remembers them."""
    with small(reference_bundle, 64) as engine, caches(engine, 2) as (ended, other):
        rows = engine.caches.embed(long_prompt(engine)[:60])
        engine.backbone.evaluate([(ended.sequence, rows, 0)])
        assert (len(ended), ended.sequence.length) == (0, 60)
        other.append(long_prompt(engine)[:32])
        assert len(other) == other.sequence.length == 32
