"""Figures of results, each with an interval in which the true one lies with 95% confidence."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..measure.word_errors import WordErrors, total_errors
from .items import Measure
from .results import Results

__all__ = ["Score", "all_scores", "score", "wilson"]

_Z = 1.959964
"""Of a normal distribution, 95% lie within so many standard deviations."""
_RESAMPLES = 2000
_WORD_COUNTS = ("substitutions", "insertions", "deletions", "words")


@dataclass(frozen=True, kw_only=True)
class Score:
    """One figure."""

    subject: str
    """Empty: of all items."""
    items: int
    value: float
    """Share of right answers, or of wrong words."""
    low: float
    high: float
    unclear: int = 0
    """Answers in which no choice was found; they count as wrong."""
    failed: int = 0
    """Items that could not be asked; they count as wrong, or of words, not at all."""
    mean_of_items: float | None = None
    """Word error rate as the public toolkit averages it: of each item first, then over all."""


def wilson(right: int, total: int) -> tuple[float, float]:
    """Interval of a share, by Wilson's score: also near 0 and 1, and for few items."""
    if not total:
        return 0.0, 1.0
    share, weight = right / total, _Z**2 / total
    middle = (share + weight / 2) / (1 + weight)
    reach = _Z / (1 + weight) * math.sqrt(share * (1 - share) / total + weight / (4 * total))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def score(measure: Measure, lines: Sequence[Mapping[str, Any]], subject: str = "") -> Score:
    """The figure of some lines of results."""
    failed = sum("error" in line for line in lines)
    if measure == "accuracy":
        right = sum(bool(line.get("correct")) for line in lines)
        low, high = wilson(right, len(lines))
        return Score(
            subject=subject,
            items=len(lines),
            value=right / len(lines) if lines else 0.0,
            low=low,
            high=high,
            unclear=sum(line.get("chosen") is None for line in lines) - failed,
            failed=failed,
        )
    return _word_score([line for line in lines if "error" not in line], subject, failed)


def all_scores(results: Results, measure: Measure) -> list[Score]:
    """The figure of all items, and behind it those of every subject, if there are several."""
    lines = list(results.lines.values())
    subjects: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for line in lines:
        subjects[str(line.get("subject") or "")].append(line)
    scores = [score(measure, lines)]
    if len(subjects) > 1:
        scores += [score(measure, some, name) for name, some in sorted(subjects.items())]
    return scores


def _word_score(lines: Sequence[Mapping[str, Any]], subject: str, failed: int) -> Score:
    each = [WordErrors(**{name: int(line[name]) for name in _WORD_COUNTS}) for line in lines]
    low, high = _resampled(each)
    return Score(
        subject=subject,
        items=len(each),
        value=total_errors(each).rate,
        low=low,
        high=high,
        failed=failed,
        mean_of_items=sum(one.rate for one in each) / len(each) if each else None,
    )


def _resampled(each: Sequence[WordErrors]) -> tuple[float, float]:
    """Interval of a word error rate: what it is of items drawn from these again and again.

    Words of one item are not wrong independently of each other, so items are drawn, not words.
    """
    if not each:
        return 0.0, 1.0
    counts = np.array([(one.errors, one.words) for one in each], dtype=float)
    rng = np.random.default_rng(0)
    drawn = counts[rng.integers(len(counts), size=(_RESAMPLES, len(counts)))].sum(axis=1)
    rates = drawn[:, 0] / np.maximum(1, drawn[:, 1])
    low, high = np.quantile(rates, (0.025, 0.975))
    return float(low), float(high)
