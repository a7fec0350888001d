"""Many answers at once: each is what it is alone, whatever runs beside it and however it ends."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import llama_cpp
import pytest

from mimo_edge import MimoAudio, MimoEdgeError, Overrides, RuntimeOptions
from mimo_edge.engine import Engine
from mimo_edge.generation import answer as answering
from mimo_edge.generation.answer import GenerationOptions, RunningAnswer, Step
from mimo_edge.generation.evaluation import Evaluation
from mimo_edge.generation.position_cache import PositionCache
from mimo_edge.prompt.positions import Positions
from mimo_edge.stages.sampling import SamplerOptions, sample

from .draws import assert_same_draws, noted_draws

SENTENCES = ("Hello.", "What a fine day it is!", "One, two, three.", "And who are you?")
LENGTH = 24


def prompt(engine: Engine, sentence: str) -> Positions:
    tokenizer = engine.tokenizer
    return engine.layout.text([*tokenizer.encode(sentence), tokenizer.id("<|sostm|>")])


def options(seed: int, length: int = LENGTH, top_k: int | None = 3) -> GenerationOptions:
    """Sampled, so that no two answers are alike, and without an end of its own.

    From few ids: a draw has as many borders, which move a little with what runs beside it, as
    `draws.py` tells. With 3 ids one of 800 answers became another one, with all ids fifteen.
    """
    sampler = SamplerOptions(temperature=1.0, top_k=top_k)
    return GenerationOptions(
        text=sampler, codes=sampler, stops=(), max_new_tokens=length, seed=seed
    )


@contextlib.contextmanager
def caches(engine: Engine, count: int) -> Iterator[list[PositionCache]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(contextlib.closing(engine.new_cache())) for _ in range(count)]


def answer(
    engine: Engine,
    cache: PositionCache,
    number: int,
    length: int = LENGTH,
    top_k: int | None = 3,
) -> RunningAnswer:
    wanted = prompt(engine, SENTENCES[number % len(SENTENCES)])
    chosen = options(number, length, top_k)
    return RunningAnswer(cache, wanted, chosen, engine.layout, frozenset())


def plain(steps: list[Step]) -> list[tuple[int, list[int]]]:
    return [
        (step.text_id, [] if step.patch is None else step.patch.ravel().tolist()) for step in steps
    ]


def alone(
    engine: Engine, number: int, length: int = LENGTH, top_k: int | None = 3
) -> list[tuple[int, list[int]]]:
    with caches(engine, 1) as (cache,):
        wanted = prompt(engine, SENTENCES[number % len(SENTENCES)])
        chosen = options(number, length, top_k)
        return plain(list(engine.generation.steps(cache, wanted, chosen)))


def in_turns(engine: Engine, answers: list[RunningAnswer]) -> list[list[tuple[int, list[int]]]]:
    """Read by one thread, one step of each after the other."""
    with contextlib.ExitStack() as stack:
        readers = [
            engine.scheduler.read(stack.enter_context(engine.scheduler.running(one)))
            for one in answers
        ]
        found: list[list[Step]] = [[] for _ in answers]
        open_ones = set(range(len(answers)))
        while open_ones:
            for number in sorted(open_ones):
                step = next(readers[number], None)
                if step is None:
                    open_ones.discard(number)
                else:
                    found[number].append(step)
    return [plain(steps) for steps in found]


def small(bundle: Path, context: int, conversations: int = 8) -> contextlib.closing[Engine]:
    """An engine whose cache is soon full."""
    chosen = RuntimeOptions(
        threads=1,
        context=context,
        conversations=conversations,
        device="cpu",
        kv_type="f32",
        flash_attention=False,
    )
    return contextlib.closing(Engine.load(bundle, chosen))


@pytest.mark.parametrize("count", [2, 4, 8])
def test_the_same_alone_and_beside_others(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Freely sampled, so that every wrong number shows."""
    draws = noted_draws(monkeypatch)
    expected, expected_draws = [], []
    for number in range(count):
        expected.append(alone(engine, number, top_k=None))
        expected_draws.append(draws[:])
        draws.clear()
    assert len({str(steps) for steps in expected}) == count
    with caches(engine, count) as made:
        answers = [answer(engine, cache, n, top_k=None) for n, cache in enumerate(made)]
        found = in_turns(engine, answers)
    for number in range(count):
        same = assert_same_draws(expected_draws[number], draws)
        assert same == (found[number] == expected[number])


def test_all_read_the_weights_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four answers take hardly more calls of the backbone than one."""
    calls = []
    process = llama_cpp.llama_process

    def count(context: int, kind: int, batch: int) -> int:
        calls.append(1)
        return int(process(context, kind, batch))

    monkeypatch.setattr(llama_cpp, "llama_process", count)
    alone(engine, 0)
    one = len(calls)
    calls.clear()
    with caches(engine, 4) as made:
        in_turns(engine, [answer(engine, cache, n) for n, cache in enumerate(made)])
    assert one <= len(calls) <= one + 8


def test_from_several_threads(engine: Engine) -> None:
    expected = [alone(engine, number) for number in range(6)]
    found: dict[int, list[tuple[int, list[int]]]] = {}

    def run(number: int) -> None:
        found[number] = alone(engine, number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [found[number] for number in range(6)] == expected


@pytest.mark.parametrize("conversations", [1, 2, 8])
@pytest.mark.parametrize("read", ["in turns", "by threads"])
def test_a_full_cache(reference_bundle: Path, conversations: int, read: str) -> None:
    """Four answers that do not fit together: they wait and go on, and are what they are alone."""
    with small(reference_bundle, context=64, conversations=conversations) as engine:
        expected = [alone(engine, number) for number in range(4)]
        with caches(engine, 4) as made:
            answers = [answer(engine, cache, n) for n, cache in enumerate(made)]
            if read == "in turns":
                assert in_turns(engine, answers) == expected
                return
            found: dict[int, list[tuple[int, list[int]]]] = {}

            def run(number: int) -> None:
                with engine.scheduler.running(answers[number]) as running:
                    found[number] = plain(list(engine.scheduler.read(running)))

            threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            assert [found.get(number) for number in range(4)] == expected


def test_idle_conversations_make_room_and_come_back(reference_bundle: Path) -> None:
    """Of five conversations two fit; each remembers all it was told."""
    with small(reference_bundle, context=256, conversations=3) as engine:
        model = MimoAudio(engine)
        overrides = Overrides(max_new_tokens=8, seed=5)
        talks = [model.session(reply="text", overrides=overrides) for _ in range(5)]
        lone = [model.session(reply="text", overrides=overrides) for _ in range(5)]
        texts = [[f"Number {n}, part {part}." + " So." * 12 for part in (1, 2)] for n in range(5)]
        together: list[list[str]] = [[] for _ in talks]
        for turn in range(2):
            for number, talk in enumerate(talks):
                together[number].append(talk.ask(text=texts[number][turn]).text)
        for number, talk in enumerate(lone):
            assert [talk.ask(text=text).text for text in texts[number]] == together[number]
            assert len(talk.turns) == 2


def test_a_long_prompt_does_not_hold_others_up(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two steps of a running answer there is one bounded piece of it."""
    sizes: list[int] = []
    with caches(engine, 2) as (talking, asked):
        running = answer(engine, talking, 0, length=40)
        long = engine.layout.text([5] * 300)
        with engine.scheduler.running(running):
            steps = engine.scheduler.read(running)
            next(steps)
            late = Evaluation(asked, long)
            with engine.scheduler.running(late):
                held = len(asked)
                for _ in range(10):
                    next(steps)
                    sizes.append(len(asked) - held)
                    held = len(asked)
    assert set(sizes) == {16}


def test_cancel_ends_within_a_step(engine: Engine) -> None:
    for when in (0, 1, 5):
        cancel = threading.Event()
        with caches(engine, 2) as (first, second):
            other = answer(engine, second, 1)
            wanted = prompt(engine, SENTENCES[0])
            one = RunningAnswer(
                first, wanted, options(0, 200), engine.layout, frozenset(), cancel=cancel
            )
            with engine.scheduler.running(one), engine.scheduler.running(other):
                steps = engine.scheduler.read(one)
                for _ in range(when):
                    next(steps)
                cancel.set()
                assert len(list(steps)) <= 1
                assert one.reason == "cancelled"
                assert plain(list(engine.scheduler.read(other))) == alone(engine, 1)


def test_an_answer_that_is_dropped_leaves_the_others(engine: Engine) -> None:
    with caches(engine, 2) as (first, second):
        dropped = engine.generation.steps(first, prompt(engine, SENTENCES[0]), options(0))
        kept = engine.generation.steps(second, prompt(engine, SENTENCES[1]), options(1))
        found = [next(kept)]
        next(dropped)
        dropped.close()  # type: ignore[attr-defined]
        found += kept
        assert plain(found) == alone(engine, 1)


def test_a_failure_of_one_is_not_the_others(engine: Engine) -> None:
    """What is wrong with one answer is told to whoever reads it."""
    with caches(engine, 2) as (first, second):
        bad, good = answer(engine, first, 0), answer(engine, second, 1)
        with engine.scheduler.running(bad), engine.scheduler.running(good):
            steps = engine.scheduler.read(good)
            found = [next(steps)]
            first.close()
            found += steps
            assert plain(found) == alone(engine, 1)
            with pytest.raises(MimoEdgeError, match="closed"):
                list(engine.scheduler.read(bad))


def test_closing_the_model_ends_all(reference_bundle: Path) -> None:
    with small(reference_bundle, context=128) as engine, caches(engine, 2) as made:
        answers = [answer(engine, cache, n) for n, cache in enumerate(made)]
        with contextlib.ExitStack() as stack:
            readers = []
            for one in answers:
                stack.enter_context(engine.scheduler.running(one))
                readers.append(engine.scheduler.read(one))
            for reader in readers:
                next(reader)
            engine.close()
            for reader in readers:
                with pytest.raises(MimoEdgeError, match="closed"):
                    list(reader)


@pytest.mark.parametrize("error", [ZeroDivisionError(), MemoryError()])
def test_a_mistake_in_one_answer_ends_that_one_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Whoever happens to step it, for an answer of his own, is told nothing."""
    expected = alone(engine, 0)
    draw = sample

    def fail(logits: Any, sampler: SamplerOptions, *rest: Any) -> int:
        if sampler.temperature == 0.5:
            raise error
        return draw(logits, sampler, *rest)

    monkeypatch.setattr(answering, "sample", fail)
    with caches(engine, 2) as (good, bad), contextlib.ExitStack() as stack:
        spoilt = replace(options(1), text=SamplerOptions(temperature=0.5))
        wanted = prompt(engine, SENTENCES[1])
        broken = RunningAnswer(bad, wanted, spoilt, engine.layout, frozenset())
        stack.enter_context(engine.scheduler.running(broken))
        running = stack.enter_context(engine.scheduler.running(answer(engine, good, 0)))
        assert plain(list(engine.scheduler.read(running))) == expected
        with pytest.raises(type(error)):
            next(engine.scheduler.read(broken))


@pytest.mark.parametrize("seed", [-1, 1.5, "7"])
def test_a_seed_is_a_whole_number(seed: Any) -> None:
    with pytest.raises(MimoEdgeError, match=f"the seed is {seed}; give a whole number"):
        replace(options(0), seed=seed)
