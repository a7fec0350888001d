"""A draft model beside the demo: here the demo's own language model, which then hears nothing."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mimo_edge import MimoAudio, MimoEdgeError, RuntimeOptions, Turn
from mimo_edge.engine import Engine
from mimo_edge.generation.drafting.drafts import Drafts
from mimo_edge.generation.drafting.rhythm import Marks
from mimo_edge.prompt.prompts import Exchange
from mimo_edge.stages.backbone_draft import DraftModel
from mimo_edge.stages.machine.placement import Placement
from mimo_edge.tasks import Overrides, converse
from tests.tools.exact_demo import EXACT_OPTIONS, exact_demo

from .guessing import guessed, plain

LIGHT = 100
"""By how much the model that is helped counts as larger than the draft model, which is its twin."""
SENTENCES = ("hello", "what is your name", "what is the color of the sky", "count from one to four")


def options(draft: Path | None) -> RuntimeOptions:
    return replace(EXACT_OPTIONS, threads=2, draft_model=draft)


@pytest.fixture(scope="module")
def gguf() -> Path:
    return exact_demo() / "backbone.gguf"


@pytest.fixture(scope="module")
def twins(gguf: Path) -> Iterator[tuple[Engine, DraftModel]]:
    chosen = options(None)
    with contextlib.closing(Engine.load(gguf.parent, chosen)) as engine:
        size = LIGHT * gguf.stat().st_size
        draft = DraftModel.load(gguf, engine.backbone, size, chosen, Placement(threads=2))
        with contextlib.closing(draft):
            yield engine, draft


def answer(engine: Engine, draft: DraftModel | None, number: int) -> tuple[list[int], int]:
    """Text ids of an answer, and how many of them the draft model guessed."""
    task = converse(
        [Exchange(request=SENTENCES[number])],
        "speech" if number % 2 else "text",
        overrides=Overrides(temperature=0, seed=number, max_new_tokens=40),
    )
    prompt = engine.layout.positions(task.pieces)
    marks = Marks(
        patch=engine.layout.empty_id,
        speech=engine.tokenizer.id("<|sostm|>"),
        text_end=engine.tokenizer.id("<|eot|>"),
        speech_end=engine.tokenizer.id("<|eostm|>"),
    )
    drafts = Drafts(prompt.text_ids, marks, price=0.1, model=draft) if draft is not None else None
    with contextlib.closing(engine.new_cache()) as cache:
        running = guessed(engine, cache, prompt, task.options, drafts)
        with engine.scheduler.running(running):
            steps = list(engine.scheduler.read(running))
    return [text_id for text_id, _ in plain(steps)], running.readings.accepted


def test_the_answers_are_the_same(twins: tuple[Engine, DraftModel]) -> None:
    """Alone and several at once. A twin that sees the same text guesses most of it."""
    engine, draft = twins
    numbers = range(len(SENTENCES))
    expected = [answer(engine, None, number)[0] for number in numbers]
    alone = [answer(engine, draft, number) for number in numbers]
    assert [ids for ids, _ in alone] == expected
    assert sum(accepted for _, accepted in alone) > len(SENTENCES)
    found: dict[int, list[int]] = {}

    def run(number: int) -> None:
        found[number] = answer(engine, draft, number)[0]

    threads = [threading.Thread(target=run, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert [found.get(number) for number in numbers] == expected


def test_a_model_of_other_words_is_refused(reference_bundle: Path) -> None:
    with pytest.raises(MimoEdgeError, match="same vocabulary"):
        MimoAudio.load(exact_demo(), options(reference_bundle / "backbone.gguf"))


@pytest.mark.parametrize("content", [None, b"", b"GGUF", b"no model at all"])
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "draft.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MimoEdgeError, match="draft model") as refused:
        MimoAudio.load(exact_demo(), options(path))
    assert str(path) in str(refused.value)


def test_it_closes_with_the_model(gguf: Path) -> None:
    """In the middle of an answer, too."""
    model = MimoAudio.load(exact_demo(), options(gguf))
    with contextlib.closing(model.stream(Turn(text="hello", reply="text"))) as events:
        next(events)
        model.close()
        with pytest.raises(MimoEdgeError, match="closed"):
            list(events)


def test_it_guesses_nothing_that_the_model_does_not_know(
    twins: tuple[Engine, DraftModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A draft model may have more ids, for which there would be no embedding."""
    engine, draft = twins
    ids = engine.tokenizer.encode("what is the color of the")
    free = draft.text(ids)
    assert free is not None
    guesses = free.guess(4)
    monkeypatch.setattr(draft, "known", draft.known - {guesses[2]})
    bound = draft.text(ids)
    assert bound is not None
    assert bound.guess(4) == guesses[: guesses.index(guesses[2])]
