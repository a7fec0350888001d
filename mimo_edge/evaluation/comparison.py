"""Two models on the same items: is one better than the other, or is it chance?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import BadInputError
from .items import Measure
from .results import Results, difference
from .scores import Score, score

__all__ = ["Comparison", "compare", "mcnemar"]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One benchmark, two models."""

    task: str
    items: int
    """That both have done."""
    first: Score
    second: Score
    only_first: int
    """Items that the first model has right (or without any wrong word), and the second not."""
    only_second: int
    chance: float
    """How likely so unequal counts are if both are equally good (McNemar's test, exact)."""


def compare(first: Results, second: Results, measure: Measure) -> Comparison:
    """Compare two files of one benchmark, asked in the same way, on the items that both have.

    Raises:
        MimoEdgeError: they are of different benchmarks, data or options, or have no item in common.
    """
    for key, name in (("task", "benchmarks"), ("data", "data"), ("options", "options")):
        if first.head[key] != second.head[key]:
            raise BadInputError(
                f"{first.path} and {second.path} are results of different {name} "
                f"({difference(first.head[key], second.head[key])}); compare what was asked alike."
            )
    common = [identity for identity in first.lines if identity in second.lines]
    if not common:
        raise BadInputError(
            f"{first.path} ({len(first.lines)} items) and {second.path} ({len(second.lines)}) have "
            "no item in common; run both over the same ones."
        )
    one, other = ([results.lines[identity] for identity in common] for results in (first, second))
    only_first, only_second = _only(one, other), _only(other, one)
    return Comparison(
        task=first.task,
        items=len(common),
        first=score(measure, one),
        second=score(measure, other),
        only_first=only_first,
        only_second=only_second,
        chance=mcnemar(only_first, only_second),
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided p of McNemar's exact test: where the two differ, each is right half of the time
    if they are equally good."""
    differing = only_first + only_second
    fewer = min(only_first, only_second)
    tail = sum(math.comb(differing, count) for count in range(fewer + 1))
    return min(1.0, 2 * tail / (1 << differing))


def _only(these: Sequence[Mapping[str, Any]], those: Sequence[Mapping[str, Any]]) -> int:
    pairs = zip(these, those, strict=True)
    return sum(bool(a.get("correct")) and not b.get("correct") for a, b in pairs)
