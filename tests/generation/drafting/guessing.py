"""Answers whose next ids are guessed by somebody who knows them, and errs as often as wished."""

from __future__ import annotations

import random
from collections.abc import Sequence

from mimo_edge.engine import Engine
from mimo_edge.generation.answer import GenerationOptions, RunningAnswer, Step
from mimo_edge.generation.drafting.drafts import Drafts
from mimo_edge.generation.position_cache import PositionCache
from mimo_edge.prompt.positions import Positions


class Knowing(Drafts):
    """Guesses from the answer as it will be; what is drawn must not depend on it."""

    def __init__(self, answer: Sequence[int], *, right: float, longest: int, seed: int) -> None:
        self._answer = answer
        self._right = right
        self._longest = longest
        self._random = random.Random(seed)
        self._place = 0

    def next(self, most: int) -> list[int]:
        count = min(most, self._random.randint(0, self._longest))
        ids = self._answer[self._place : self._place + count]
        return [one if self._random.random() < self._right else one ^ 1 for one in ids]

    def took(self, text_id: int) -> None:
        self._place += 1


def guessed(
    engine: Engine,
    cache: PositionCache,
    prompt: Positions,
    options: GenerationOptions,
    drafts: Drafts | None,
) -> RunningAnswer:
    """An answer with these guesses."""
    stops = frozenset(engine.tokenizer.id(name) for name in options.stops)
    return RunningAnswer(cache, prompt, options, engine.layout, stops, drafts=drafts)


def plain(steps: Sequence[Step]) -> list[tuple[int, list[int]]]:
    """What can be compared."""
    return [
        (step.text_id, [] if step.patch is None else step.patch.ravel().tolist()) for step in steps
    ]
