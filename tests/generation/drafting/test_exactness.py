"""Guesses change nothing but the number of readings: the ids and patches are those of one by one.

In float32, where neighbours in a batch change no rounding that could matter.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator
from pathlib import Path

import llama_cpp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mimo_edge.engine import Engine
from mimo_edge.generation import answer as answering
from mimo_edge.generation.answer import GenerationOptions, RunningAnswer
from mimo_edge.generation.position_cache import PositionCache
from mimo_edge.prompt.positions import Positions
from mimo_edge.stages import patch_decoder
from mimo_edge.stages.machine.runtime_options import RuntimeOptions
from mimo_edge.stages.sampling import SamplerOptions

from .guessing import Knowing, guessed, plain

Plain = list[tuple[int, list[int]]]

LENGTH = 24


def prompt(engine: Engine, number: int) -> Positions:
    ids = engine.tokenizer.encode(f"Say number {number} to me.")
    return engine.layout.text([*ids, engine.tokenizer.id("<|sostm|>")])


def options(seed: int, *, length: int = LENGTH, logprobs: bool = False) -> GenerationOptions:
    """Words that the random model would not repeat; every wrong number shows."""
    sampler = SamplerOptions(temperature=1.0)
    return GenerationOptions(
        text=sampler,
        codes=sampler,
        stops=(),
        max_new_tokens=length,
        seed=seed,
        logprobs=logprobs,
    )


@contextlib.contextmanager
def caches(engine: Engine, count: int) -> Iterator[list[PositionCache]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(contextlib.closing(engine.new_cache())) for _ in range(count)]


def read(engine: Engine, answer: RunningAnswer) -> Plain:
    with engine.scheduler.running(answer):
        return plain(list(engine.scheduler.read(answer)))


def one_by_one(engine: Engine, number: int, length: int = LENGTH) -> Plain:
    with caches(engine, 1) as (cache,):
        chosen = options(number, length=length)
        return read(engine, guessed(engine, cache, prompt(engine, number), chosen, None))


def knowing(steps: Plain, *, right: float = 1.0, longest: int = 6, seed: int = 0) -> Knowing:
    return Knowing([text_id for text_id, _ in steps], right=right, longest=longest, seed=seed)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    numbers=st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True),
    right=st.sampled_from([0.0, 0.5, 0.8, 1.0]),
    longest=st.integers(1, 12),
    length=st.integers(1, LENGTH),
    seed=st.integers(0, 99),
)
def test_any_guesses(
    engine: Engine, numbers: list[int], right: float, longest: int, length: int, seed: int
) -> None:
    """Several answers at once, read in turns, each with guesses of its own."""
    expected = [one_by_one(engine, number, length) for number in numbers]
    with caches(engine, len(numbers)) as made, contextlib.ExitStack() as stack:
        answers = [
            guessed(
                engine,
                cache,
                prompt(engine, number),
                options(number, length=length),
                knowing(steps, right=right, longest=longest, seed=seed),
            )
            for number, cache, steps in zip(numbers, made, expected, strict=True)
        ]
        readers = [
            engine.scheduler.read(stack.enter_context(engine.scheduler.running(answer)))
            for answer in answers
        ]
        found = [list(reader) for reader in readers]
    assert [plain(steps) for steps in found] == expected
    for answer, steps in zip(answers, expected, strict=True):
        assert answer.reason == "length"
        assert len(steps) <= answer.readings.count + answer.readings.accepted
        assert answer.readings.accepted <= answer.readings.guessed


def test_right_guesses_save_readings(engine: Engine) -> None:
    """Text that is known is read five and more ids at a time."""
    never = (engine.layout.empty_id,)
    chosen = options(3, length=60)
    found: list[Plain] = []
    for known in (False, True):
        with caches(engine, 1) as (cache,):
            drafts = knowing(found[0], longest=5) if known else None
            answer = RunningAnswer(
                cache,
                prompt(engine, 3),
                chosen,
                engine.layout,
                frozenset(),
                never=never,
                drafts=drafts,
            )
            found.append(read(engine, answer))
    assert found[0] == found[1]
    assert answer.readings.count + answer.readings.accepted == 60
    assert answer.readings.count <= 30


@pytest.mark.parametrize("conversations", [1, 2, 8])
@pytest.mark.parametrize("right", [0.5, 1.0])
def test_a_full_cache(reference_bundle: Path, conversations: int, right: float) -> None:
    """Answers that do not fit together wait and go on; a guess takes room from none of them."""
    chosen = RuntimeOptions(
        threads=1,
        context=64,
        conversations=conversations,
        device="cpu",
        kv_type="f32",
        flash_attention=False,
    )
    with contextlib.closing(Engine.load(reference_bundle, chosen)) as engine:
        expected = [one_by_one(engine, number) for number in range(4)]
        found: dict[int, Plain] = {}
        with caches(engine, 4) as made:

            def run(number: int) -> None:
                drafts = knowing(expected[number], right=right, seed=number)
                wanted = prompt(engine, number)
                answer = guessed(engine, made[number], wanted, options(number), drafts)
                found[number] = read(engine, answer)

            threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
        assert [found.get(number) for number in range(4)] == expected


def test_the_end_of_the_context_in_a_guess(reference_bundle: Path) -> None:
    chosen = RuntimeOptions(
        threads=1, context=48, device="cpu", kv_type="f32", flash_attention=False
    )
    with contextlib.closing(Engine.load(reference_bundle, chosen)) as engine:
        expected = one_by_one(engine, 1, 200)
        for longest in (1, 3, 12):
            with caches(engine, 1) as (cache,):
                drafts = knowing(expected, longest=longest, seed=longest)
                wanted = prompt(engine, 1)
                answer = guessed(engine, cache, wanted, options(1, length=200), drafts)
                assert read(engine, answer) == expected
                assert answer.reason == "context"
                assert len(cache) == 48


def test_a_stop_in_a_guess(engine: Engine) -> None:
    """What was guessed behind it is not in the answer, and the cache ends before it."""
    steps = one_by_one(engine, 2)
    texts = [text_id for text_id, patch in steps if not patch]
    stop = texts[len(texts) // 2]
    end = next(place for place, (text_id, _) in enumerate(steps) if text_id == stop)
    wanted = prompt(engine, 2)
    with caches(engine, 1) as (cache,):
        drafts = knowing(steps, longest=8)
        answer = RunningAnswer(
            cache, wanted, options(2), engine.layout, frozenset({stop}), drafts=drafts
        )
        assert read(engine, answer) == steps[: end + 1]
        assert answer.reason == "stop"
        assert len(cache) == len(wanted) + end
        assert cache.sequence.length == len(cache)


def test_logprobs_are_those_of_one_by_one(engine: Engine) -> None:
    chosen = options(4, logprobs=True)
    found: list[tuple[list[int], list[float | None]]] = []
    for known in (False, True):
        with caches(engine, 1) as (cache,):
            drafts = Knowing(found[0][0], right=0.8, longest=6, seed=1) if known else None
            answer = guessed(engine, cache, prompt(engine, 4), chosen, drafts)
            with engine.scheduler.running(answer):
                steps = list(engine.scheduler.read(answer))
            found.append(([s.text_id for s in steps], [s.logprob for s in steps]))
    assert found[0][0] == found[1][0]
    one, other = (np.array(logprobs, dtype=float) for _, logprobs in found)
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_cancel_leaves_a_cache_without_guesses(engine: Engine) -> None:
    steps = one_by_one(engine, 5)
    for when in range(8):
        cancel = threading.Event()
        wanted = prompt(engine, 5)
        with caches(engine, 1) as (cache,):
            answer = RunningAnswer(
                cache,
                wanted,
                options(5),
                engine.layout,
                frozenset(),
                cancel=cancel,
                drafts=knowing(steps, right=0.7, seed=when),
            )
            with engine.scheduler.running(answer):
                reader = engine.scheduler.read(answer)
                found = [next(reader) for _ in range(when)]
                cancel.set()
                found += reader
            assert answer.reason == "cancelled"
            assert plain(found) == steps[: len(found)]
            assert cache.sequence.length == len(cache) <= len(wanted) + len(found)
            # The cache goes on as if nothing had been guessed.
            assert read(engine, guessed(engine, cache, wanted, options(5), None)) == steps


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("where", "name"),
    [
        (llama_cpp, "llama_process"),
        (llama_cpp, "llama_memory_seq_rm"),
        (llama_cpp, "llama_get_logits_ith"),
        (answering, "sample"),
        (patch_decoder, "sample"),
        (PositionCache, "accept"),
        (PositionCache, "drop_guesses"),
    ],
)
def test_ctrl_c_in_a_step_with_guesses(
    engine: Engine, where: object, name: str, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it comes, what the cache holds is true, and the next answer is what it would be."""
    steps = one_by_one(engine, 6)
    original = getattr(where, name)
    for count in range(1, 40, 3):
        calls = iter(range(1, 1000))

        @functools.wraps(original)
        def fail(
            *arguments: object,
            at: int = count,
            calls: Iterator[int] = calls,
            **named: object,
        ) -> object:
            here = next(calls) == at
            if here and not after:
                raise KeyboardInterrupt
            result = original(*arguments, **named)
            if here:
                raise KeyboardInterrupt
            return result

        with caches(engine, 1) as (cache,):
            drafts = knowing(steps, right=0.7, seed=count)
            answer = guessed(engine, cache, prompt(engine, 6), options(6), drafts)
            with monkeypatch.context() as patched:
                patched.setattr(where, name, fail)
                try:
                    assert read(engine, answer) == steps
                except KeyboardInterrupt:
                    pass
                else:
                    break
            drafts = knowing(steps, right=0.7, seed=count)
            again = guessed(engine, cache, prompt(engine, 6), options(6), drafts)
            assert read(engine, again) == steps
