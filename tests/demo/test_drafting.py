"""Speaking a text repeats it: readings of the weights with and without guesses, same answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mimo_edge import Ask, Continue, FewShot, MimoAudio, Speak, Transcribe, Turn
from mimo_edge.generation.events import Event, TextDelta, TurnEnd
from mimo_edge.tasks import Overrides, Task
from tests.conftest import EXACT
from tests.tools.exact_demo import load_exact_demo

from .conftest import Question

Kind = Callable[[Path, Overrides], Task]

KINDS: dict[str, Kind] = {
    "transcribe": lambda clip, o: Transcribe(audio=clip, overrides=o),
    "speak": lambda _, o: Speak(text="Seven plus five is twelve. My name is Echo.", overrides=o),
    "speak in a style": lambda clip, o: Speak(
        text="Hello, hello.", style="slowly", voice=clip, anyway=True, overrides=o
    ),
    "ask": lambda clip, o: Ask(audio=clip, question="What is said?", overrides=o),
    "ask, thinking": lambda clip, o: Ask(
        audio=clip, question="What is said?", thinking=True, overrides=o
    ),
    "dialogue": lambda clip, o: Turn(audio=clip, overrides=o),
    "dialogue in text": lambda clip, o: Turn(audio=clip, reply="text", overrides=o),
    "text dialogue": lambda _, o: Turn(text="say one two one two", reply="text", overrides=o),
    "few-shot": lambda clip, o: FewShot(
        instruction="Repeat.",
        examples=[(clip, clip, "one two three")],
        audio=clip,
        anyway=True,
        overrides=o,
    ),
    "continue": lambda clip, o: Continue(audio=clip, anyway=True, overrides=o),
}
SPOKEN = (
    "Seven plus five is twelve.",
    "The sky is blue.",
    "one two three four five six seven",
    "The opposite of hot is cold.",
    "my name is echo",
    "Nine minus four is five!",
)


@pytest.fixture(scope="module")
def exact(reference_bundle: Path) -> Iterator[tuple[MimoAudio, MimoAudio]]:
    """The random golden model in float32, with and without guesses."""
    with (
        MimoAudio.load(reference_bundle, EXACT) as guessing,
        MimoAudio.load(reference_bundle, replace(EXACT, drafting=False)) as plain,
    ):
        yield guessing, plain


@pytest.fixture(scope="module")
def demos() -> Iterator[tuple[MimoAudio, MimoAudio]]:
    """The demo model in float32: rows beside each other change no code, guessed or not."""
    with load_exact_demo() as guessing, load_exact_demo(drafting=False) as plain:
        yield guessing, plain


def events(model: MimoAudio, task: Task) -> tuple[list[str], TurnEnd]:
    found: list[Event] = list(model.stream(task))
    end = found[-1]
    assert isinstance(end, TurnEnd)
    return [event.text for event in found if isinstance(event, TextDelta)], end


def same(models: tuple[MimoAudio, MimoAudio], task: Task) -> TurnEnd:
    """The same events with and without guesses; the last one with."""
    (texts, end), (plain_texts, plain) = (events(model, task) for model in models)
    assert texts == plain_texts
    assert end.reason == plain.reason
    np.testing.assert_array_equal(end.text_ids, plain.text_ids)
    np.testing.assert_array_equal(end.codes, plain.codes)
    assert plain.stats.guessed_tokens == 0
    assert plain.stats.readings == end.stats.readings + end.stats.accepted_tokens
    return end


@pytest.mark.parametrize("kind", KINDS)
def test_every_task_of_a_random_model(
    exact: tuple[MimoAudio, MimoAudio], clips: dict[str, Path], kind: str
) -> None:
    for seed in (1, 2):
        same(exact, KINDS[kind](clips["tiny"], Overrides(max_new_tokens=30, seed=seed)))


@pytest.mark.parametrize(
    "kind", ["transcribe", "speak", "dialogue", "dialogue in text", "text dialogue"]
)
def test_every_task_of_the_demo(
    demos: tuple[MimoAudio, MimoAudio], questions: dict[str, Question], kind: str
) -> None:
    overrides = Overrides(max_new_tokens=120, seed=2)
    same(demos, KINDS[kind](questions["sum"].path, overrides))


def test_speaking_reads_the_weights_once_for_several_words(
    demos: tuple[MimoAudio, MimoAudio],
) -> None:
    """What remains is little more than one reading for each patch."""
    accepted = guessing = readings = patches = 0
    for text in SPOKEN:
        task = Speak(text=text, overrides=Overrides(seed=1))
        stats = same(demos, task).stats
        accepted += stats.accepted_tokens
        guessing += stats.guessing_readings
        readings += stats.readings
        patches += stats.patches
    assert accepted / guessing > 3
    assert readings < 1.1 * patches
