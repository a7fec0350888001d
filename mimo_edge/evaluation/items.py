"""What benchmarks consist of: items, and what is said of an answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..bundle.manifest import Manifest
from ..measure.word_errors import Language, WordErrors
from ..tasks import Overrides, PreparedTask, Task
from .tables import StoredSound

__all__ = ["Asking", "Benchmark", "Example", "Item", "Measure", "Said", "Sound", "Verdict"]

Sound = Path | StoredSound
"""Where the recording of an item is: a file, or a cell of a table."""

Measure = Literal["accuracy", "word errors"]
"""What is counted: right answers, or words that were misheard."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """Something as text and, where there is one, as a recording."""

    text: str
    sound: Sound | None = None


@dataclass(frozen=True, kw_only=True)
class Example:
    """A question with its answer, to show the model what is wanted."""

    question: Said
    answer: Said


@dataclass(frozen=True, kw_only=True)
class Item:
    """One question of a benchmark."""

    id: str
    subject: str
    """What it is about: scores are told for each subject, too."""
    question: Said
    answer: str
    """The right one: a choice, a letter, or what is said in the recording."""
    choices: tuple[str, ...] = ()
    """What can be answered, where the benchmark tells."""
    beginning: Said | None = None
    """What stands in front of the examples."""
    examples: tuple[Example, ...] = ()
    more: Mapping[str, str] = field(default_factory=dict)
    """What the benchmark says of it besides."""

    def sounds(self, *, spoken_answers: bool = False) -> list[Sound]:
        """All recordings that asking it may take."""
        said = [self.question, *([self.beginning] if self.beginning else [])]
        for example in self.examples:
            said += [example.question, *([example.answer] if spoken_answers else [])]
        return [each.sound for each in said if each.sound is not None]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is said of one answer."""

    correct: bool
    """Whether it is the right choice, or every word is right."""
    chosen: str | None = None
    """The choice that was read from the answer; None: there is none in it."""
    errors: WordErrors | None = None
    """Where words are counted."""


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How items are asked."""

    manifest: Manifest
    """Of the bundle that is asked."""
    base: bool
    """In the format of the base model, which goes on with a text, not in that of a dialogue."""
    thinking: bool
    """Whether the model thinks aloud first."""
    instruction: str | None
    """What to ask for instead of the benchmark's own words, where it transcribes."""
    overrides: Overrides
    listen: Callable[[Sound], NDArray[np.int64]]
    """A recording → patches [patches, group, channels]."""
    voice: Sound | None = None
    """Whose voice spoken answers of dialogues are to have."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One benchmark in one modality."""

    name: str
    measure: Measure
    speaks: bool
    """Whether it is answered in speech, which then is written down and judged as text."""
    load: Callable[[Path, int], list[Item]]
    """(folder with the data, examples per item) → items in the order of the files."""
    ask: Callable[[Item, Asking], PreparedTask | Task]
    judge: Callable[[Item, str], Verdict]
    language: Language = "en"
    default_shots: int = 0
    """Examples per item that the public toolkit gives the base model."""
    can_think: bool = False
    candidates: Callable[[Item], Sequence[tuple[str, str]]] | None = None
    """Texts whose likelihoods can be compared instead of reading a free answer, each with what it
    chooses; None: there are none."""

    def record(self, verdict: Verdict) -> dict[str, Any]:
        """The verdict as values of a line of JSON."""
        values: dict[str, Any] = {"correct": verdict.correct}
        if self.measure == "accuracy":
            return {**values, "chosen": verdict.chosen}
        errors = verdict.errors or WordErrors(substitutions=0, insertions=0, deletions=0, words=0)
        return {**values, **vars(errors)}
