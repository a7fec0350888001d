"""From items to prompts, on the demo model with a small context."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from mimo_edge.errors import BadInputError
from mimo_edge.generation.events import TurnEnd
from mimo_edge.model import MimoAudio
from mimo_edge.prompt.positions import AudioPiece, Positions, TextPiece
from mimo_edge.prompt_cache import PromptCache
from mimo_edge.server.realtime.contents import (
    Content,
    InputAudio,
    InputText,
    OutputAudio,
    OutputText,
    Spoken,
    Utterance,
)
from mimo_edge.server.realtime.plan import Plan, Prompter
from mimo_edge.tasks import Overrides
from tests.tools.exact_demo import load_exact_demo

from .talker import question

CONTEXT = 384


@pytest.fixture(scope="module")
def small() -> Iterator[MimoAudio]:
    with load_exact_demo(context=CONTEXT) as model:
        yield model


@pytest.fixture
def cache(small: MimoAudio) -> Iterator[PromptCache]:
    cache = small.prompt_cache()
    yield cache
    cache.close()


def said(name: str) -> InputAudio:
    samples = question(name).astype(np.float32) / np.float32(32768)
    return InputAudio(utterance=Utterance(samples))


def plan(*contents: Content, speaks: bool = False) -> Plan:
    return Plan(
        said=contents,
        reply="speech" if speaks else "text",
        system=None,
        overrides=Overrides(seed=2, max_new_tokens=100),
    )


def answer(model: MimoAudio, cache: PromptCache, asked: Plan) -> TurnEnd:
    task = Prompter(cache, model.listener()).lay_out(asked, None).task
    *_, end = cache.stream(task)
    assert isinstance(end, TurnEnd)
    return end


def text_of(model: MimoAudio, cache: PromptCache, asked: Plan) -> str:
    task = Prompter(cache, model.listener()).lay_out(asked, None).task
    return model.run(task).text


def prompt(model: MimoAudio, cache: PromptCache, asked: Plan) -> Positions:
    return model.positions(Prompter(cache, model.listener()).lay_out(asked, None).task)


def test_words_and_sound_of_one_request_stand_together(
    small: MimoAudio, cache: PromptCache
) -> None:
    """What was said and not answered is one request, in whatever form it came."""
    twice = plan(said("sum"), said("color"))
    once = plan(said("sum"))
    laid_out = Prompter(cache, small.listener()).lay_out(twice, None)
    alone = Prompter(cache, small.listener()).lay_out(once, None)
    assert sum(isinstance(piece, AudioPiece) for piece in laid_out.task.pieces) == 1
    assert laid_out.audio_positions > alone.audio_positions + 5
    texts = prompt(small, cache, plan(InputText(text="One."), InputText(text="Two.")))
    whole = prompt(small, cache, plan(InputText(text="One.\nTwo.")))
    assert texts.common_prefix(whole) == len(texts) == len(whole)
    text = InputText(text="What is it?")
    for both in (plan(text, said("sum")), plan(said("sum"), text)):
        laid_out = Prompter(cache, small.listener()).lay_out(both, None)
        parts = [piece for piece in laid_out.task.pieces if isinstance(piece, TextPiece)]
        assert any("What is it?" in piece.parts for piece in parts)
        assert laid_out.audio_positions == alone.audio_positions


def test_what_came_before_the_answer_is_remembered(small: MimoAudio, cache: PromptCache) -> None:
    asked = plan(said("color"), OutputText(text="the sky is blue"), said("memory"))
    assert text_of(small, cache, asked) == "you said what color is the sky"


def test_an_answer_stands_as_it_was_made_and_as_far_as_it_was_heard(
    small: MimoAudio, cache: PromptCache
) -> None:
    first = plan(said("count"), speaks=True)
    spoken = Spoken(end=answer(small, cache, first))
    heard = OutputAudio(spoken=spoken)
    whole = prompt(small, cache, plan(*first.said, heard, said("memory"), speaks=True))
    spoken.heard = small.sample_rate // 2
    part = prompt(small, cache, plan(*first.said, heard, said("memory"), speaks=True))
    spoken.heard = 0
    none = prompt(small, cache, plan(*first.said, heard, said("memory"), speaks=True))
    assert len(whole) > len(part) > len(none)
    # What was computed for the answer is used again, up to where it was heard.
    assert part.common_prefix(whole) > len(none) // 2
    assert whole.common_prefix(cache.positions) >= len(cache.positions)


def test_the_oldest_turns_go_when_the_context_is_full(small: MimoAudio, cache: PromptCache) -> None:
    old: list[Content] = []
    for _ in range(12):
        old += [said("sum"), OutputText(text="seven plus five is twelve")]
    asked = plan(*old, said("color"), OutputText(text="the sky is blue"), said("memory"))
    assert len(prompt(small, cache, asked)) <= CONTEXT - CONTEXT // 4
    assert text_of(small, cache, asked) == "you said what color is the sky"


def test_room_is_made_while_the_answer_is_still_heard(small: MimoAudio, cache: PromptCache) -> None:
    """And what went for it does not come back, which would move everything behind it."""
    prompter = Prompter(cache, small.listener())
    old: list[Content] = []
    for number in range(12):
        old += [said(("sum", "count", "name")[number % 3]), OutputText(text=f"answer {number}")]
    asked = plan(*old, said("color"), speaks=True)
    *_, end = cache.stream(prompter.lay_out(asked, None).task)
    assert isinstance(end, TurnEnd)
    spoken = Spoken(end=end)
    assert cache.evaluate(prompter.opening(asked, None, spoken)) is not None
    following = plan(*asked.said, OutputAudio(spoken=spoken), said("memory"), speaks=True)
    *_, end = cache.stream(prompter.lay_out(following, None).task)
    assert isinstance(end, TurnEnd)
    assert end.stats.evaluated_positions < 40
    assert end.stats.prompt_positions > 100


def long_history() -> list[Content]:
    turns: list[Content] = []
    for number in range(400):
        turns += [InputText(text=f"count {number} " * 20), OutputText(text="one two three " * 20)]
    return turns


def test_a_long_history_is_laid_out_soon(
    small: MimoAudio, cache: PromptCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a turn less leaves of it is not laid out for every turn that goes."""
    asked = plan(*long_history(), said("color"), OutputText(text="the sky is blue"), said("memory"))
    laid_out, has_room_for = [], PromptCache.has_room_for

    def counted(*arguments: Any, **options: Any) -> bool:
        laid_out.append(arguments)
        return has_room_for(*arguments, **options)

    monkeypatch.setattr(PromptCache, "has_room_for", counted)
    assert text_of(small, cache, asked) == "you said what color is the sky"
    assert len(laid_out) < 20  # of 402 turns


def test_a_prompt_that_is_not_wanted_any_more_is_not_laid_out(
    small: MimoAudio, cache: PromptCache
) -> None:
    """Nor does it make the conversation forget anything."""
    cancel = threading.Event()
    cancel.set()
    prompter = Prompter(cache, small.listener())
    asked = plan(said("color"), OutputText(text="the sky is blue"), said("memory"))
    prompter.lay_out(asked, None, cancel)
    assert isinstance(asked.said[0], InputAudio)
    asked.said[0].forget_sound()  # which was not heard, so it cannot be encoded any more
    with pytest.raises(BadInputError, match="too old"):
        prompter.lay_out(plan(asked.said[0]), None)
    asked = plan(said("color"), OutputText(text="the sky is blue"), said("memory"))
    assert small.run(prompter.lay_out(asked, None).task).text == "you said what color is the sky"


def test_what_cannot_be_heard_fails_once(small: MimoAudio, cache: PromptCache) -> None:
    silent = InputAudio(utterance=Utterance(np.zeros(24_000, dtype=np.float32)))
    with pytest.raises(BadInputError, match="nothing to hear"):
        Prompter(cache, small.listener()).lay_out(plan(silent), None)
    assert text_of(small, cache, plan(silent, said("sum"))) == "seven plus five is twelve"


def test_sound_that_was_forgotten_was_heard(small: MimoAudio, cache: PromptCache) -> None:
    kept, lost = said("sum"), said("sum")
    Prompter(cache, small.listener()).lay_out(plan(kept), None)
    kept.forget_sound()
    lost.forget_sound()
    assert text_of(small, cache, plan(kept)) == "seven plus five is twelve"
    with pytest.raises(BadInputError, match="too old"):
        Prompter(cache, small.listener()).lay_out(plan(lost), None)
