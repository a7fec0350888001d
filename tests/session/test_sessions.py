"""Conversations: what is evaluated, remembered, dropped, and what a stop leaves behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mimo_edge.answer import Answer
from mimo_edge.engine import Engine
from mimo_edge.errors import MimoEdgeError
from mimo_edge.generation.events import AudioChunk, Event, TextDelta, TurnEnd
from mimo_edge.model import MimoAudio
from mimo_edge.prompt.positions import Positions
from mimo_edge.session import Session
from mimo_edge.stages.machine.runtime_options import RuntimeOptions
from mimo_edge.tasks import Overrides

OPTIONS = Overrides(max_new_tokens=24, seed=7)
SYSTEM = "You are a kind guide."


def spoken(model: MimoAudio, clip: Path, **options: Any) -> Session:
    return model.session(system=SYSTEM, voice=clip, overrides=OPTIONS, **options)


def end_of(events: Iterator[Event]) -> TurnEnd:
    """The last event, which is the only one of its kind."""
    *others, end = events
    assert isinstance(end, TurnEnd)
    assert not any(isinstance(event, TurnEnd) for event in others)
    return end


def text_ids(session: Session) -> list[int]:
    ids: list[int] = session.positions.text_ids.tolist()
    return ids


def contains(where: list[int], what: list[int]) -> int:
    """How often a run of ids occurs."""
    spots = range(len(where) - len(what) + 1)
    return sum(where[spot : spot + len(what)] == what for spot in spots)


def same_sampling(first: TurnEnd, second: TurnEnd) -> bool:
    return np.array_equal(first.text_ids, second.text_ids) and np.array_equal(
        first.codes, second.codes
    )


def test_only_what_is_new_is_evaluated(reference_model: MimoAudio, clips: dict[str, Path]) -> None:
    """Turn 2 finds prompt and answer of turn 1 in the cache, turn 3 those of turn 2."""
    with spoken(reference_model, clips["voice"]) as session:
        known = evaluated = 0
        for name in ("question", "short", "tiny"):
            end = end_of(session.stream(clips[name]))
            stats = end.stats
            # The last generated position enters the cache only if generation goes on.
            assert known - 1 <= stats.cached_positions <= known
            assert stats.evaluated_positions == stats.prompt_positions - stats.cached_positions
            known = stats.prompt_positions + len(end.text_ids)
            evaluated += stats.evaluated_positions + len(end.text_ids)
            assert evaluated - 1 <= session.evaluated_positions <= evaluated
            evaluated = session.evaluated_positions
        assert stats.cached_positions > 2 * stats.evaluated_positions


def test_the_cache_computes_what_a_fresh_prefill_does(
    reference_model: MimoAudio, engine: Engine, clips: dict[str, Path]
) -> None:
    """Float32 cache: logits and hidden state of a prompt in pieces and at once."""
    with spoken(reference_model, clips["voice"]) as session:
        end_of(session.stream(clips["question"]))
        end_of(session.stream(clips["short"]))
        positions = session.positions
        assert end_of(session.stream(clips["tiny"])).stats.cached_positions > 100
    grown, fresh = engine.new_cache(), engine.new_cache()
    try:
        for cut in (40, 41, 90, len(positions)):
            grown.prefill(positions[:cut])
        output = grown.append(positions[:5])
        whole = Positions(
            np.concatenate([positions.text_ids, positions.text_ids[:5]]),
            np.concatenate([positions.codes, positions.codes[:5]]),
        )
        expected, cached = fresh.prefill(whole)
        assert cached == 0
        assert grown.evaluated == fresh.evaluated == len(whole)
    finally:
        grown.close()
        fresh.close()
    for found, wanted in ((output.logits, expected.logits), (output.hidden, expected.hidden)):
        assert np.abs(found - wanted).max() <= 1e-3 * np.abs(wanted).max()


def test_a_conversation_told_equals_one_that_happened(
    reference_model: MimoAudio, clips: dict[str, Path]
) -> None:
    """Text turns given with `add_turn` make the same prompt and the same answer."""
    with reference_model.session(reply="text", system=SYSTEM, overrides=OPTIONS) as told:
        told.add_turn(clips["question"], answer="Which city?")
        told.add_turn(text="Beijing.", answer="It is sunny.")
        first = end_of(told.stream(clips["short"]))
        layout = text_ids(told)
    with reference_model.session(reply="text", system=SYSTEM, overrides=OPTIONS) as again:
        again.add_turn(clips["question"], answer="Which city?")
        end_of(again.stream(text="Beijing."))
        again.turns.pop()
        again.add_turn(text="Beijing.", answer="It is sunny.")
        second = end_of(again.stream(clips["short"]))
        assert text_ids(again) == layout
    assert second.stats.cached_positions > 20 > first.stats.cached_positions
    assert same_sampling(first, second)


def test_add_turn_takes_spoken_answers(
    reference_model: MimoAudio, engine: Engine, clips: dict[str, Path]
) -> None:
    with reference_model.session(overrides=OPTIONS) as session:
        session.add_turn(clips["question"], answer="Hello you.", speech=clips["voice"])
        end_of(session.stream(clips["short"]))
        ids = text_ids(session)
    marks = [engine.tokenizer.id(name) for name in ("<|sostm|>", "<|eot|>", "<|eostm|>")]
    assert all(mark in ids for mark in marks)


def test_system_prompt_and_voice_appear_once(
    reference_model: MimoAudio, engine: Engine, clips: dict[str, Path]
) -> None:
    voice = engine.hearing.listen(clips["voice"])
    with spoken(reference_model, clips["voice"]) as session:
        for name in ("question", "short", "tiny"):
            end_of(session.stream(clips[name]))
        ids = text_ids(session)
        codes = session.positions.codes
    assert contains(ids, engine.tokenizer.encode(SYSTEM)) == 1
    assert contains(ids, engine.tokenizer.encode("Your voice should be:")) == 1
    assert contains(codes.tolist(), voice.tolist()) == 1
    # At least: a random model may say such a mark itself.
    assert ids.count(engine.tokenizer.id("<|sosp|>")) >= 4


def test_the_oldest_turns_leave_when_the_context_is_full(
    reference_bundle: Path, clips: dict[str, Path]
) -> None:
    """System prompt and voice stay, the newest turns stay, nothing fails."""
    options = RuntimeOptions(threads=1, context=240, device="cpu")
    engine = Engine.load(reference_bundle, options)
    with MimoAudio(engine) as model, spoken(model, clips["voice"]) as session:
        encode = engine.tokenizer.encode
        kept = []
        for number in range(8):
            end = end_of(session.stream(clips["question" if number % 2 else "short"]))
            kept.append(len(session.turns))
            assert end.stats.prompt_positions <= 240 * 3 // 4  # A quarter is for the answer.
            ids = text_ids(session)
            assert contains(ids, encode(SYSTEM)) == contains(ids, encode("Your voice")) == 1
        assert max(kept) < 8 and kept[-1] >= 1
        newest = engine.hearing.listen(clips["question"])
        np.testing.assert_array_equal(session.turns[-1].request, newest)


def test_an_answer_ends_where_the_context_does(
    reference_bundle: Path, clips: dict[str, Path]
) -> None:
    """Its reason says so, and the next turn finds room again."""
    options = RuntimeOptions(threads=1, context=64, device="cpu")
    with MimoAudio.load(reference_bundle, options) as model:
        for seed in range(20):  # A random model also ends by itself.
            overrides = Overrides(max_new_tokens=200, seed=seed)
            with model.session(reply="text", overrides=overrides) as session:
                end = end_of(session.stream(clips["tiny"]))
                if end.reason == "context":
                    used = end.stats.prompt_positions + len(end.text_ids)
                    assert used == 64 + 1  # The last one was never evaluated.
                    assert end_of(session.stream(clips["tiny"])).stats.prompt_positions < 64
                    return
    pytest.fail("no seed filled the context")


def test_one_turn_that_is_too_long_is_refused_and_the_session_goes_on(
    reference_bundle: Path, clips: dict[str, Path]
) -> None:
    options = RuntimeOptions(threads=1, context=128, device="cpu")
    with (
        MimoAudio.load(reference_bundle, options) as model,
        model.session(reply="text", overrides=Overrides(max_new_tokens=200, seed=1)) as session,
    ):
        with pytest.raises(MimoEdgeError, match="do not fit the context of 128"):
            session.ask(text="word " * 200)
        assert not session.turns
        answer = session.ask(clips["tiny"])
        assert answer.reason in ("stop", "context") and len(session.turns) == 1


@pytest.mark.parametrize("after", [0, 1, 5])
def test_cancelling_leaves_the_session_usable(
    reference_model: MimoAudio, clips: dict[str, Path], after: int
) -> None:
    """What was said until then is remembered, and the next turn answers as it would have."""
    cancel = threading.Event()
    with spoken(reference_model, clips["voice"]) as session:
        seen = 0
        if not after:
            cancel.set()
        for event in session.stream(clips["question"], cancel=cancel):
            seen += isinstance(event, TextDelta)
            if seen >= after:
                cancel.set()
        assert isinstance(event, TurnEnd) and event.reason == "cancelled"
        assert len(event.text_ids) < 24 and len(session.turns) == 1
        end = end_of(session.stream(clips["short"]))
        # Cancelled before it began, not even the prompt was evaluated.
        assert (end.stats.cached_positions > 0) == (after > 0) and end.reason != "cancelled"
        turn = session.turns[0]
    with spoken(reference_model, clips["voice"]) as fresh:
        fresh.turns.append(turn)
        assert same_sampling(end_of(fresh.stream(clips["short"])), end)


def test_closing_the_stream_early_forgets_the_turn(
    reference_model: MimoAudio, clips: dict[str, Path]
) -> None:
    with spoken(reference_model, clips["voice"]) as session:
        events = session.stream(clips["question"])
        next(events)
        next(events)
        events.close()
        assert not session.turns
        end = end_of(session.stream(clips["short"]))
    with spoken(reference_model, clips["voice"]) as fresh:
        assert same_sampling(end_of(fresh.stream(clips["short"])), end)


def test_an_error_in_the_listener_leaves_the_session_usable(
    reference_model: MimoAudio, clips: dict[str, Path]
) -> None:
    def fail(_: str) -> None:
        raise ZeroDivisionError

    with spoken(reference_model, clips["voice"]) as session:
        with pytest.raises(ZeroDivisionError):
            session.ask(clips["question"], on_text=fail)
        answer = session.ask(clips["short"])
        assert len(session.turns) == 1
    with spoken(reference_model, clips["voice"]) as fresh:
        assert fresh.ask(clips["short"]).text == answer.text


def test_two_sessions_do_not_mix(reference_model: MimoAudio, clips: dict[str, Path]) -> None:
    def alone(names: tuple[str, ...]) -> list[str]:
        with spoken(reference_model, clips["voice"]) as session:
            return [session.ask(clips[name]).text for name in names]

    one, two = ("question", "short"), ("tiny", "question")
    expected = list(zip(alone(one), alone(two), strict=True))
    with (
        spoken(reference_model, clips["voice"]) as first,
        spoken(reference_model, clips["voice"]) as second,
    ):
        for index, texts in enumerate(expected):
            assert first.ask(clips[one[index]]).text == texts[0]
            assert second.ask(clips[two[index]]).text == texts[1]


def test_the_stream_says_what_the_answer_holds(
    reference_model: MimoAudio, clips: dict[str, Path]
) -> None:
    with spoken(reference_model, clips["voice"]) as session:
        events = list(session.stream(clips["question"], sound=True))
    with spoken(reference_model, clips["voice"]) as session:
        answer: Answer = session.ask(clips["question"])
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert text.strip() == answer.text
    chunks = [event.samples for event in events if isinstance(event, AudioChunk)]
    samples = np.concatenate([np.zeros(0, dtype=np.float32), *chunks])
    assert (answer.audio is None) == (not len(samples))
    if answer.audio is not None:
        assert len(samples) == len(answer.audio) == 960 * len(answer.codes)


def test_a_turn_is_audio_or_text(reference_model: MimoAudio, clips: dict[str, Path]) -> None:
    with reference_model.session() as session:
        with pytest.raises(MimoEdgeError, match="either audio or text"):
            session.ask()
        with pytest.raises(MimoEdgeError, match="either audio or text"):
            session.ask(clips["short"], text="Hello.")


def test_a_closed_session_says_so(reference_model: MimoAudio, clips: dict[str, Path]) -> None:
    session = reference_model.session(overrides=OPTIONS)
    session.close()
    session.close()
    with pytest.raises(MimoEdgeError, match="the conversation is closed"):
        session.ask(clips["short"])
