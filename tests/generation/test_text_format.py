"""Which text ids can come next in a spoken answer, and answers that look at no others."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mimo_edge import MimoAudio
from mimo_edge.answer import Answer
from mimo_edge.engine import Engine
from mimo_edge.generation.text_format import TextFormat
from mimo_edge.overrides import Overrides
from mimo_edge.prompt.positions import InterleavedPiece
from mimo_edge.tasks import Speak, Task, Turn
from tests.conftest import EXACT
from tests.tools.exact_demo import load_exact_demo

QUESTIONS = Path(__file__).parents[1] / "data" / "demo"
TASKS: tuple[Task, ...] = (
    *(Turn(audio=QUESTIONS / f"{name}.flac", reply="speech") for name in ("sum", "count")),
    Turn(text="what color is the sky", reply="speech"),
    Speak(text="one two three four five six seven"),
)


@pytest.fixture(scope="module")
def few() -> Iterator[MimoAudio]:
    """The demo model, which leaves out what the format rules out."""
    with load_exact_demo(full_head=False) as model:
        yield model


@pytest.fixture(scope="module")
def whole() -> Iterator[MimoAudio]:
    """The demo model with logits of all text ids at every position."""
    with load_exact_demo(full_head=True) as model:
        yield model


def same(one: Answer, other: Answer) -> bool:
    return one.text == other.text and np.array_equal(one.codes, other.codes)


@pytest.mark.parametrize("words", [0, 1, 4, 5, 6, 9, 10, 11, 23])
@pytest.mark.parametrize("patches", [25, 61])
def test_what_prompts_hold_can_come(engine: Engine, words: int, patches: int) -> None:
    """Answers of the past are laid out in prompts as the model was trained to write them."""
    layout, tokenizer = engine.layout, engine.tokenizer
    config = engine.manifest.patch
    codes = np.zeros((patches, config.group_size, config.channels), dtype=np.int64)
    spoken = layout.positions([InterleavedPiece(text="a" * words, patches=codes)])
    ids = spoken.text_ids.tolist()
    assert ids[0] == tokenizer.id("<|sostm|>")
    follows = TextFormat.behind(spoken[:1], tokenizer, frozenset())
    counts = []
    for text_id in ids[1:]:
        possible = follows.possible()
        assert possible is None or text_id in possible
        counts.append(len(possible) if possible else 0)
        follows.take(text_id)
    assert follows.possible() is None  # the speech is over
    text = len(ids) - patches - 3
    runs_within_text = max(0, text - 1) // 5
    assert counts.count(1) == 4 * runs_within_text


def test_another_format_may_go_on_with_anything(engine: Engine) -> None:
    tokenizer = engine.tokenizer
    opened = engine.layout.text([tokenizer.id("<|sostm|>")])
    word, empty = 1, tokenizer.id("<|empty|>")
    for ids in ([word, word, empty], [word] * 6, [*[word] * 5, empty, word], [empty]):
        follows = TextFormat.behind(opened, tokenizer, frozenset())
        for text_id in ids:
            follows.take(text_id)
        assert follows.possible() is None, ids
    unopened = engine.layout.text([word])
    assert TextFormat.behind(unopened, tokenizer, frozenset()).possible() is None


@pytest.mark.parametrize("task", TASKS, ids=range(len(TASKS)))
def test_answers_are_the_same(few: MimoAudio, whole: MimoAudio, task: Task) -> None:
    for seed in range(3):
        overrides = Overrides(seed=seed)
        chosen = type(task)(**{**vars(task), "overrides": overrides})
        found, expected = few.run(chosen), whole.run(chosen)
        assert len(expected.codes)
        assert same(found, expected)


def test_answers_beside_each_other(reference_bundle: Path) -> None:
    """Some need the logits of all text ids while others do not."""
    tasks = [
        Turn(text=f"say {word}", reply="speech", overrides=Overrides(seed=seed, max_new_tokens=40))
        for word in ("one", "two three")
        for seed in range(3)
    ]
    with MimoAudio.load(reference_bundle, replace(EXACT, full_head=False)) as model:
        alone = [model.run(task) for task in tasks]
        with ThreadPoolExecutor(len(tasks)) as threads:
            together = list(threads.map(model.run, tasks))
    assert any(len(answer.codes) for answer in alone)
    assert all(map(same, together, alone))


def test_a_conversation(few: MimoAudio, whole: MimoAudio) -> None:
    """An answer goes into the prompt of the next one, without logits at its end."""
    conversations = []
    for model in (few, whole):
        with model.session(overrides=Overrides(seed=5)) as session:
            conversations.append([session.ask(text="what is two plus two") for _ in range(2)])
    assert all(map(same, *conversations))
