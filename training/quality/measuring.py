"""A candidate's results, computed by several processes that each take a part of the exam."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mimo_edge.measure.divergence import Distance, Distributions, distance, distributions
from training import domain
from training.words import word_errors

from .candidates import Answered, Candidate, Taker
from .exam import Exam, load_exam

__all__ = ["Guessed", "Measuring", "Results", "measuring"]


@dataclass(frozen=True, kw_only=True)
class Guessed:
    """What guessing words did to a sentence that was spoken."""

    same: bool
    """Whether every token and every code is the one that comes without guesses."""
    accepted: int
    """Tokens that were guessed right."""
    readings: int
    """Readings of the weights in which some were guessed."""


@dataclass(frozen=True, kw_only=True)
class Results:
    """What a candidate made of the exam, item by item."""

    heard: list[tuple[int, int]]
    """(wrong words, words) of every sentence that it transcribed."""
    spoken: list[tuple[int, int]]
    """The same of every sentence that it spoke, as `reference` hears it."""
    answered: list[bool]
    """Whether it answered each question right."""
    codes_equal: list[float]
    """Per codebook, the part of some questions' codes that are those of `reference`."""
    distances: list[Distance]
    """Of its distributions from those of `reference`, along some answers."""
    guessed: list[Guessed] = field(default_factory=list)
    """Of some of the sentences that it spoke."""


class Measuring:
    """Asks the processes."""

    def __init__(self, pool: ProcessPoolExecutor, exam: Exam, answers: int) -> None:
        """`answers`: along how many answers distributions are compared, and of how many questions
        the codes."""
        self._pool, self._exam, self._answers = pool, exam, answers

    def results(self, candidate: Candidate) -> Results:
        """Let a candidate take the exam."""
        sentences, questions = len(self._exam.sentences), len(self._exam.questions)
        answers = min(self._answers, questions)
        equal = np.concatenate(self._each(_codes_equal, candidate, answers))
        return Results(
            heard=self._each(_heard, candidate, sentences),
            spoken=self._each(_spoken, candidate, sentences),
            answered=self._each(_answered, candidate, questions),
            codes_equal=[round(float(part), 4) for part in equal.mean(axis=0)],
            distances=self._each(_distance, candidate, answers),
            guessed=self._each(_guessed, candidate, min(2 * self._answers, sentences)),
        )

    def _each(self, do: Callable[[Candidate, int], Any], what: Candidate, count: int) -> list[Any]:
        """The result of every item, in their order."""
        chunk = max(1, min(25, count // 8))
        return list(self._pool.map(do, [what] * count, range(count), chunksize=chunk))


@contextlib.contextmanager
def measuring(
    exam: Path, reference: Candidate, answers: int, processes: int
) -> Iterator[Measuring]:
    """Processes that measure what candidates lose against `reference`."""
    with ProcessPoolExecutor(
        processes,
        multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(exam, reference),
    ) as pool:
        yield Measuring(pool, load_exam(exam), answers)


# What follows runs in the processes. Each holds `reference` and one candidate.
_exam: Exam
_reference: tuple[Candidate, Taker]
_taker: tuple[Candidate, Taker] | None = None
_plain: tuple[Candidate, Taker] | None = None
"""The candidate without guesses."""


def _begin(exam: Path, reference: Candidate) -> None:
    global _exam, _reference
    _exam, _reference = load_exam(exam), (reference, Taker(reference))


def _take(candidate: Candidate) -> Taker:
    """The candidate, loaded; the one before is freed."""
    global _taker
    if candidate == _reference[0]:
        return _reference[1]
    if _taker is None or _taker[0] != candidate:
        if _taker is not None:
            _taker[1].close()
        _taker = candidate, Taker(candidate)
    return _taker[1]


def _take_without_guesses(candidate: Candidate) -> Taker:
    """The candidate, loaded a second time: not to guess is an option of loading."""
    global _plain
    if _plain is None or _plain[0] != candidate:
        if _plain is not None:
            _plain[1].close()
        _plain = candidate, Taker(replace(candidate, drafting=False))
    return _plain[1]


def _guessed(candidate: Candidate, item: int) -> Guessed:
    text = _exam.sentences[item].text
    found = _take(candidate).tokens(text, item)
    plain = _take_without_guesses(candidate).tokens(text, item)
    same = np.array_equal(found.text_ids, plain.text_ids)
    return Guessed(
        same=bool(same and np.array_equal(found.codes, plain.codes)),
        accepted=found.stats.accepted_tokens,
        readings=found.stats.guessing_readings,
    )


def _heard(candidate: Candidate, item: int) -> tuple[int, int]:
    said = _exam.sentences[item]
    return word_errors(said.text, _take(candidate).transcribe(said.wave, item))


def _spoken(candidate: Candidate, item: int) -> tuple[int, int]:
    text = _exam.sentences[item].text
    return word_errors(text, _reference[1].transcribe(_take(candidate).speak(text, item), item))


def _answered(candidate: Candidate, item: int) -> bool:
    asked = _exam.questions[item]
    return _take(candidate).reply(asked.wave, item).text == domain.answer(asked.text)


def _codes_equal(candidate: Candidate, item: int) -> np.ndarray:
    """bool [steps, codebooks]."""
    return np.asarray(_take(candidate).encode(_exam.questions[item].wave) == _expected_codes(item))


def _distance(candidate: Candidate, item: int) -> Distance:
    reply, expected = _expected_answer(item)
    if candidate == _reference[0]:
        return distance(expected, expected)
    found = distributions(_take(candidate).engine, reply.prompt, reply.answer)
    return distance(expected, found)


@cache
def _expected_codes(item: int) -> np.ndarray:
    """What `reference` hears in a question."""
    return _reference[1].encode(_exam.questions[item].wave)


@cache
def _expected_answer(item: int) -> tuple[Answered, Distributions]:
    """The answer of `reference` to a question, and what it expected on its way."""
    reference = _reference[1]
    reply = reference.reply(_exam.questions[item].wave, item)
    return reply, distributions(reference.engine, reply.prompt, reply.answer)
