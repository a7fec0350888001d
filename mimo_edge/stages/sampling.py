"""Sampling of text ids and codes: pure functions, the generator is passed in.

The reference's order (`MiMoSampler`): temperature, top-k, top-p, then the removal of
ids that must not be drawn, then the draw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInputError

__all__ = ["GREEDY", "SamplerOptions", "candidates", "log_probability", "sample"]

_COLDEST = 0.001
"""At it the most likely id is drawn already; below it the scores could overflow float32, so there
the best is taken without a draw."""
_HOTTEST = 1e6
"""At it all ids are about as likely already; beyond float32 it would be infinite, and logits of
minus infinity divided by it no numbers."""


@dataclass(frozen=True, kw_only=True)
class SamplerOptions:
    """How one id is drawn from logits."""

    temperature: float = 1.0
    """How freely: 0 takes the best, as `greedy` does."""
    top_k: int | None = None
    """Keep this many of the best; None or 0: all."""
    top_p: float = 1.0
    """Keep the best ids that make up this much of the probability."""
    greedy: bool = False
    """Take the best. For text only, or for tests: greedy codes make flat, broken speech."""

    def __post_init__(self) -> None:
        """Refuse values without a meaning."""
        if not 0 <= self.temperature < math.inf:
            raise BadInputError(
                f"temperature is {self.temperature}; it must be 0 (take the most likely) or more, "
                "and finite."
            )
        if not 0 < self.top_p <= 1:
            raise BadInputError(f"top-p is {self.top_p}; it must be above 0 and at most 1.")
        if self.top_k is not None and self.top_k < 0:
            raise BadInputError(f"top-k is {self.top_k}; it must be positive, or 0 for all.")

    @property
    def takes_best(self) -> bool:
        """Whether the best id is taken instead of drawn."""
        return self.greedy or self.temperature < _COLDEST


GREEDY = SamplerOptions(greedy=True)


def candidates(
    logits: NDArray[np.float32], options: SamplerOptions
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Ids that survive temperature, top-k and top-p, and their probabilities (sum 1).

    `logits` is [vocabulary]. The ids are in ascending order of probability, or, where
    nothing is cut off, in their own order.
    """
    scores = logits.astype(np.float32, copy=False) / np.float32(min(options.temperature, _HOTTEST))
    ids = np.arange(len(scores))
    if options.top_k and options.top_k < len(scores):
        # As the reference: everything at least as good as the k-th best, ties included.
        threshold = np.partition(scores, -options.top_k)[-options.top_k]
        ids = np.flatnonzero(scores >= threshold)
        scores = scores[ids]
    weights = np.exp(scores - scores.max())
    weights = weights / weights.sum(dtype=np.float64)
    if options.top_p < 1:
        kept = _nucleus(weights, 1.0 - options.top_p)
        ids, weights = ids[kept], weights[kept]
        weights /= weights.sum()
    return ids, weights


def _nucleus(weights: NDArray[np.float64], tail: float) -> NDArray[np.intp]:
    """Indices left after the least likely ones, up to `tail` in sum, are dropped; ascending.

    Weights of at most tail / n sum to at most the tail, so they are dropped in any case:
    only the few others are sorted, not a vocabulary of 150,000.
    """
    # Methods, not functions of numpy: 32 codes are drawn for a patch, and over a book of a few
    # hundred the functions take longer to call than to compute.
    chosen = (weights > tail / len(weights)).nonzero()[0]
    likely = weights[chosen]
    order = likely.argsort(kind="stable")
    rest = max(0.0, 1.0 - float(likely.sum()))
    ascending, dropped = chosen[order], rest + likely[order].cumsum() <= tail
    dropped[-1] = False
    return ascending[~dropped]


def sample(
    logits: NDArray[np.float32],
    options: SamplerOptions,
    rng: np.random.Generator,
    never: Sequence[int] = (),
) -> int:
    """One id. Those in `never` are removed last; if nothing else is left, the best other id."""
    if options.takes_best:
        return _best(logits, never)
    ids, weights = candidates(logits, options)
    if never:
        for one in never:  # they are few: `np.isin` would take as long as all the rest
            allowed = ids != one
            ids, weights = ids[allowed], weights[allowed]
        if not len(ids):
            return _best(logits, never)
    cumulative = weights.cumsum()
    drawn = cumulative.searchsorted(rng.random() * cumulative[-1], side="right")
    return int(ids[min(int(drawn), len(ids) - 1)])


def log_probability(logits: NDArray[np.float32], chosen: int) -> float:
    """Natural logarithm of how likely an id was by the logits [vocabulary] alone, at temperature 1,
    however it was drawn."""
    highest = logits.max()
    whole = np.exp(logits - highest).sum(dtype=np.float64)
    return float(logits[chosen] - highest) - math.log(whole)


def _best(logits: NDArray[np.float32], never: Sequence[int]) -> int:
    if never:
        logits = logits.copy()
        logits[list(never)] = -np.inf
    return int(logits.argmax())
