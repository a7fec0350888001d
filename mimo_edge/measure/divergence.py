"""How far a bundle's distributions are from the reference's, along the reference's answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..engine import Engine
from ..prompt.positions import Positions

__all__ = ["Distance", "Distributions", "distance", "distributions"]


@dataclass(frozen=True, kw_only=True)
class Distributions:
    """What a bundle expects at every position of a given answer, as log-probabilities."""

    text: NDArray[np.floating]
    """[positions, vocabulary]."""
    codes: list[list[NDArray[np.floating]]]
    """Of every patch, one array [vocabulary of its codebook] for each of its codes."""


@dataclass(frozen=True, kw_only=True)
class Distance:
    """Kullback-Leibler divergences in nats, summed over an answer."""

    text: float
    positions: int
    codes: float
    drawn: int
    """Codes of all patches."""


def distributions(engine: Engine, prompt: Positions, answer: Positions) -> Distributions:
    """Evaluate a given answer behind its prompt, position by position, as when it is generated."""
    cache = engine.new_cache()
    try:
        output, _ = cache.prefill(prompt)
        text, codes = [], []
        for at in range(len(answer)):
            assert output is not None
            text.append(_log_softmax(output.logits))
            if answer.text_ids[at] == engine.layout.empty_id:
                logits = engine.patch_decoder.logits_along(output.hidden, answer.codes[at])
                codes.append([_log_softmax(of_one) for of_one in logits])
            output = cache.append(answer[at : at + 1])
        return Distributions(text=np.stack(text), codes=codes)
    finally:
        cache.close()


def distance(expected: Distributions, found: Distributions) -> Distance:
    """How far `found` is from `expected` along one answer."""
    codes = [
        float(_divergence(p, q))
        for one, other in zip(expected.codes, found.codes, strict=True)
        for p, q in zip(one, other, strict=True)
    ]
    return Distance(
        text=float(_divergence(expected.text, found.text).sum()),
        positions=len(expected.text),
        codes=sum(codes),
        drawn=len(codes),
    )


def _divergence(
    expected: NDArray[np.floating], found: NDArray[np.floating]
) -> NDArray[np.floating]:
    return np.asarray((np.exp(expected) * (expected - found)).sum(axis=-1))


def _log_softmax(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    shifted = logits.astype(np.float64) - logits.max()
    return np.asarray(shifted - np.log(np.exp(shifted).sum()))
