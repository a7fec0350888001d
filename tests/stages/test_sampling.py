"""The samplers against a plain implementation of the reference's order of steps."""

from __future__ import annotations

import time
from itertools import product
from typing import Any

import numpy as np
import pytest

from mimo_edge.errors import MimoEdgeError
from mimo_edge.stages.sampling import GREEDY, SamplerOptions, candidates, log_probability, sample
from mimo_edge.tasks import Overrides, task


def reference(
    scores: np.ndarray, temperature: float, top_k: int | None, top_p: float
) -> np.ndarray:
    """Probabilities [n], as `MiMoSampler.process` does it, in float32, everything sorted."""
    scores = scores.astype(np.float32) / np.float32(temperature)
    if top_k:
        threshold = np.sort(scores)[-min(top_k, len(scores))]
        scores = np.where(scores < threshold, -np.inf, scores)
    order = np.argsort(scores, kind="stable")
    weights = np.exp(scores[order] - scores.max()).astype(np.float32)
    running = np.cumsum(weights / weights.sum(), dtype=np.float32)
    removed = running <= np.float32(1 - top_p)
    removed[-1] = False
    scores[order[removed]] = -np.inf
    weights = np.exp(scores - scores.max())
    likely: np.ndarray = weights / weights.sum()
    return likely


def spread(ids: np.ndarray, weights: np.ndarray, size: int) -> np.ndarray:
    dense = np.zeros(size)
    dense[ids] = weights
    return dense


@pytest.mark.parametrize("size", [40, 500, 1025, 3000])
def test_against_the_reference(size: int) -> None:
    scores = (3 * np.random.default_rng(size).standard_normal(size)).astype(np.float32)
    for case in product([0.3, 1.0, 2.5], [None, 0, 1, 50, 10_000], [1.0, 0.95, 0.5, 0.01]):
        temperature, top_k, top_p = case
        options = SamplerOptions(temperature=temperature, top_k=top_k, top_p=top_p)
        expected = reference(scores, temperature, top_k, top_p)
        found = spread(*candidates(scores, options), size)
        # Which one is the last to go may hang on the rounding of a float32 running sum.
        different = np.flatnonzero((found > 0) != (expected > 0))
        assert len(different) <= 1, case
        assert all(expected[different] + found[different] < 1e-3), case
        close = 1e-3 if len(different) else 1e-6
        np.testing.assert_allclose(found, expected, atol=close, err_msg=str(case))
        assert abs(found.sum() - 1) < 1e-9, case


def test_ties_stay_together_in_top_k() -> None:
    """As `scores < topk.min()` removes: what equals the k-th best is kept."""
    scores = np.array([1, 3, 3, 3, 0, 5], dtype=np.float32)
    ids, weights = candidates(scores, SamplerOptions(top_k=2))
    assert sorted(ids) == [1, 2, 3, 5]
    equal = weights[[list(ids).index(i) for i in (1, 2, 3)]]
    assert equal[0] == equal[1] == equal[2]


def test_the_cut_of_top_p_is_exact() -> None:
    """Probabilities that are exact in binary: 1/2, 1/4, 1/8, 1/8."""
    scores = np.log(np.array([0.125, 0.5, 0.125, 0.25])).astype(np.float32)
    for top_p, kept in ((0.76, 3), (0.74, 2), (0.51, 2), (0.49, 1), (0.1, 1), (1.0, 4)):
        ids, weights = candidates(scores, SamplerOptions(top_p=top_p))
        assert len(ids) == kept, top_p
        assert abs(weights.sum() - 1) < 1e-12
    ids, _ = candidates(scores, SamplerOptions(top_p=1e-9))
    assert ids.tolist() == [1]  # The best one always stays.


def test_flat_and_extreme_logits() -> None:
    flat = np.zeros(1000, dtype=np.float32)
    ids, weights = candidates(flat, SamplerOptions(top_p=0.5))
    assert abs(len(ids) - 500) <= 1 and np.ptp(weights) == 0
    peaked = np.full(1000, -np.inf, dtype=np.float32)
    peaked[17] = 1000
    for options in (SamplerOptions(), SamplerOptions(temperature=0.001, top_k=5, top_p=0.9)):
        assert sample(peaked, options, np.random.default_rng(0)) == 17
    one = np.zeros(1, dtype=np.float32)
    assert sample(one, SamplerOptions(top_k=4, top_p=0.3), np.random.default_rng(0)) == 0


def test_never_is_never_drawn() -> None:
    rng = np.random.default_rng(0)
    scores = rng.standard_normal(20).astype(np.float32)
    best = int(scores.argmax())
    for options in (SamplerOptions(), SamplerOptions(temperature=3, top_k=5), GREEDY):
        drawn = {sample(scores, options, rng, never=(best, 3)) for _ in range(300)}
        assert not drawn & {best, 3}


def test_removing_happens_last_and_may_leave_nothing() -> None:
    """top-k 1 keeps the forbidden id alone; then the best other one is taken."""
    scores = np.array([0, 9, 5, 8], dtype=np.float32)
    rng = np.random.default_rng(0)
    for options in (SamplerOptions(top_k=1), SamplerOptions(top_p=0.01), GREEDY):
        assert sample(scores, options, rng, never=(1,)) == 3
    # Removed after top-k: of the two best only one is left, nothing moves up.
    assert {sample(scores, SamplerOptions(top_k=2), rng, never=(1,)) for _ in range(50)} == {3}


def test_greedy_is_the_best_and_draws_nothing() -> None:
    rng = np.random.default_rng(0)
    scores = rng.standard_normal(500).astype(np.float32)
    state = rng.bit_generator.state
    assert sample(scores, GREEDY, rng) == int(scores.argmax())
    assert rng.bit_generator.state == state


def test_draws_follow_the_probabilities() -> None:
    scores = np.log(np.array([0.1, 0.2, 0.3, 0.4])).astype(np.float32)
    rng = np.random.default_rng(0)
    drawn = [sample(scores, SamplerOptions(), rng) for _ in range(20_000)]
    np.testing.assert_allclose(np.bincount(drawn) / 20_000, [0.1, 0.2, 0.3, 0.4], atol=0.015)


def test_one_seed_one_sequence() -> None:
    scores = np.random.default_rng(1).standard_normal(1000).astype(np.float32)
    options = SamplerOptions(temperature=0.9, top_p=0.95)

    def sequence(seed: int) -> list[int]:
        rng = np.random.default_rng(seed)
        return [sample(scores, options, rng) for _ in range(50)]

    assert sequence(5) == sequence(5) != sequence(6)


def test_the_released_vocabulary_is_quick() -> None:
    """151,680 logits: nothing sorts them all. Measured 2 ms; a sort alone takes 10."""
    scores = (3 * np.random.default_rng(0).standard_normal(151_680)).astype(np.float32)
    rng = np.random.default_rng(0)
    for options in (
        SamplerOptions(temperature=0.6, top_p=0.95),
        SamplerOptions(temperature=0.6, top_k=50, top_p=0.95),
    ):
        expected = reference(scores, options.temperature, options.top_k, options.top_p)
        found = spread(*candidates(scores, options), len(scores))
        np.testing.assert_allclose(found, expected, atol=1e-6)
        times = []
        for _ in range(5):
            start = time.process_time()
            sample(scores, options, rng)
            times.append(time.process_time() - start)
        # Only against losing an order of magnitude; machines differ.
        assert min(times) < 0.1


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"temperature": float("inf")}, "temperature is inf"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_p": 0.0}, "top-p is 0.0"),
        ({"top_p": 1.1}, "top-p is 1.1"),
        ({"top_k": -1}, "top-k is -1"),
    ],
)
def test_values_without_a_meaning(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(MimoEdgeError, match=complaint):
        SamplerOptions(**values)


@pytest.mark.parametrize("temperature", [0.0, 1e-40, 1e-4])
def test_the_coldest_takes_the_best(temperature: float) -> None:
    rng = np.random.default_rng(0)
    scores = (300 * rng.standard_normal(500)).astype(np.float32)
    best, options = int(scores.argmax()), SamplerOptions(temperature=temperature)
    assert {sample(scores, options, rng) for _ in range(20)} == {best}
    assert sample(scores, options, rng, never=[best]) == int(np.argsort(scores)[-2])


def test_sound_is_never_drawn_at_temperature_0() -> None:
    with pytest.raises(MimoEdgeError, match="temperature of the sound is 0"):
        task("speak", [], Overrides(code_temperature=0.0))
    assert task("speak", [], Overrides(temperature=0.0)).options.text.takes_best


def test_log_probability_is_that_of_temperature_one() -> None:
    scores = np.random.default_rng(0).normal(0, 30, 1000).astype(np.float32)
    likely = reference(scores, 1.0, None, 1.0)
    for chosen in (int(scores.argmax()), 0, 1, 2):
        found = log_probability(scores, chosen)
        assert found <= 0
        assert np.exp(found) == pytest.approx(likely[chosen], rel=1e-4, abs=1e-12)


@pytest.mark.parametrize("temperature", [1e6, 1e38, 1e300])
@pytest.mark.filterwarnings("error")
def test_however_hot_all_ids_are_alike(temperature: float) -> None:
    """But for those that cannot be: logits may be minus infinity."""
    logits = np.array([3.0, -np.inf, -5.0, 0.0], dtype=np.float32)
    ids, weights = candidates(logits, SamplerOptions(temperature=temperature))
    np.testing.assert_allclose(spread(ids, weights, 4), [1 / 3, 0, 1 / 3, 1 / 3], atol=1e-5)
