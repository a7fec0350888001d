"""What answers draw, noted while they run, so that two runs can be compared draw by draw.

An id is drawn where a random number falls between the borders of the ids' probabilities: 1,024 of
them for a codebook. Several rows in one batch are summed in another order than one, which changes
the sixth digit of the logits in float32, and so moves the borders. Now and then a number lies
between the old place of a border and the new one. Then another id is drawn, and all that follows
differs, although nothing is wrong. (Measured with random weights: 15 of 800 answers of 24
positions, with two versions of onnxruntime.)

So what is compared is what an id was drawn from: the logits, and the random number.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mimo_edge.generation import answer
from mimo_edge.stages import patch_decoder
from mimo_edge.stages.sampling import SamplerOptions, sample

__all__ = ["Draw", "assert_same_draws", "noted_draws"]


@dataclass(frozen=True, kw_only=True)
class Draw:
    """One id, and what it was drawn from."""

    number: float
    """The next random number: no two draws of answers with different seeds have the same."""
    logits: NDArray[np.float32]
    """[vocabulary]."""
    drawn: int


def noted_draws(monkeypatch: pytest.MonkeyPatch) -> list[Draw]:
    """A list to which every draw is added, of a text id or a code, in the order of drawing."""
    draws: list[Draw] = []

    def note(
        logits: NDArray[np.float32],
        options: SamplerOptions,
        rng: np.random.Generator,
        *rest: Any,
        **more: Any,
    ) -> int:
        number = copy.deepcopy(rng).random()
        drawn = sample(logits, options, rng, *rest, **more)
        draws.append(Draw(number=number, logits=logits.copy(), drawn=drawn))
        return drawn

    monkeypatch.setattr(answer, "sample", note)
    monkeypatch.setattr(patch_decoder, "sample", note)
    return draws


def assert_same_draws(expected: list[Draw], found: list[Draw]) -> bool:
    """Check the draws of one answer against those of several, among which it is, up to the first
    that fell on the other side of a border; False if there is one."""
    by_number = {draw.number: draw for draw in found}
    for draw in expected:
        other = by_number[draw.number]
        atol = 1e-5 * np.abs(draw.logits).max()
        np.testing.assert_allclose(other.logits, draw.logits, rtol=0, atol=atol)
        if draw.drawn != other.drawn:
            return False
    return True
