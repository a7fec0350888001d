"""Conversations whose turns come with every request: what they share is evaluated once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mimo_edge.engine import Engine
from mimo_edge.errors import WrongUseError
from mimo_edge.generation.events import TextDelta, TurnEnd
from mimo_edge.model import MimoAudio
from mimo_edge.prompt.positions import Positions
from mimo_edge.prompt.prompts import Exchange
from mimo_edge.prompt_cache import PromptCache
from mimo_edge.tasks import Ask, Overrides, PreparedTask, converse
from tests.tools.exact_demo import EXACT_OPTIONS, exact_demo, load_exact_demo

DEMO = Path(__file__).parent.parent / "data" / "demo"
SURE = Overrides(temperature=0, seed=1)


@pytest.fixture(scope="module")
def model() -> Iterator[MimoAudio]:
    with load_exact_demo() as model:
        yield model


def answered(cache: PromptCache, task: PreparedTask) -> tuple[str, TurnEnd]:
    *events, end = cache.stream(task)
    assert isinstance(end, TurnEnd)
    return "".join(event.text for event in events if isinstance(event, TextDelta)), end


def test_a_conversation_goes_on_from_what_was_computed(model: MimoAudio) -> None:
    first = Exchange(request=model.listen(DEMO / "sum.flac"))
    memory = Exchange(request=model.listen(DEMO / "memory.flac"))
    cache = model.prompt_cache()
    text, end = answered(cache, converse([first], "speech", overrides=SURE))
    assert "twelve" in text and end.stats.cached_positions == 0
    known = len(cache.positions)
    said = replace(first, answer=Positions(end.text_ids, end.codes))
    task = converse([said, memory], "speech", overrides=SURE)
    text, end = answered(cache, task)
    assert text.startswith("you said")
    assert end.stats.cached_positions == known
    assert end.stats.prompt_positions == len(model.positions(task)) > known
    events = cache.stream(task)
    next(events)
    with pytest.raises(WrongUseError, match="busy"):
        next(cache.stream(task))
    events.close()
    cache.close()
    with pytest.raises(WrongUseError):
        next(cache.stream(task))


def test_a_question_behind_speech_is_laid_out_as_the_task_for_it() -> None:
    engine = Engine.load(exact_demo(), EXACT_OPTIONS)
    model, hearing = MimoAudio(engine), engine.hearing
    speech = model.listen(DEMO / "sum.flac")
    ask = next(Ask(audio=DEMO / "sum.flac", question="What is this?").prepare(hearing))
    turn = Exchange(request=speech, question="What is this?")
    task = converse([turn], "text")
    assert task.options == ask.options
    both = model.positions(task), model.positions(ask)
    assert both[0].common_prefix(both[1]) == len(both[0]) == len(both[1])
    model.close()


def test_instructions_of_a_turn_stand_where_the_system_prompt_does(model: MimoAudio) -> None:
    asked = Exchange(request="what is your name")
    first = model.positions(converse([asked], "text", system="Be kind."))
    same = model.positions(converse([replace(asked, instructions="Be kind.")], "text"))
    assert first.common_prefix(same) == len(first) == len(same)


def test_what_stands_around_a_request_is_saved_with_it(model: MimoAudio, tmp_path: Path) -> None:
    speech = model.listen(DEMO / "sum.flac")
    turn = Exchange(request=speech, instructions="Be kind.", question="What?", answer="Twelve.")
    with model.session(reply="text") as session:
        session.turns = [turn, Exchange(request="a", answer="b")]
        session.save(tmp_path / "saved")
    with model.load_session(tmp_path / "saved") as session:
        again, plain = session.turns
    assert (again.instructions, again.question, again.answer) == ("Be kind.", "What?", "Twelve.")
    assert isinstance(again.request, np.ndarray) and np.array_equal(again.request, speech)
    assert plain == Exchange(request="a", answer="b")
