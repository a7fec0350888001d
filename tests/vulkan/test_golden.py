"""On a Vulkan device the backbone computes the reference's numbers as closely as on a processor."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import pytest

from mimo_edge.engine import Engine
from mimo_edge.generation.position_cache import PositionCache
from mimo_edge.prompt.positions import Positions
from mimo_edge.stages.llama.batch import BackboneOutput
from tests.golden.folder import Golden, relative
from tests.golden.test_language_model import (
    prompt,
    test_greedy,
    test_hidden,
    test_logits,
)

__all__ = ["prompt", "test_greedy", "test_hidden", "test_logits"]

pytestmark = pytest.mark.vulkan


@pytest.fixture
def cache(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[PositionCache]:
    """One that evaluates a prompt position by position (see `engine`)."""
    cache = engine.new_cache()
    at_once = cache.prefill

    def one_by_one(positions: Positions) -> tuple[BackboneOutput, int]:
        for count in range(1, len(positions)):
            at_once(positions[:count])
        return at_once(positions)

    with contextlib.closing(cache), monkeypatch.context() as patched:
        patched.setattr(cache, "prefill", one_by_one)
        yield cache


def test_a_prompt_in_one_batch(golden: Golden, engine: Engine, hidden_name: str) -> None:
    """Attention is rounded to half precision then, 2⁻¹¹ of each factor, in every layer."""
    text, codes = golden.positions(f"prompt/{hidden_name}", engine.manifest.patch.group_size)
    rows = engine.caches.embed(Positions(text.astype(np.int32), codes.astype(np.int64)))
    sequence = engine.backbone.new_sequence()
    engine.backbone.evaluate([(sequence, rows[:-1], 0)])
    ((output,),) = engine.backbone.evaluate([(sequence, rows[-1:], 1)])
    sequence.close()
    assert relative(output.hidden, golden[f"hidden/{hidden_name}"].reshape(-1)) <= 1e-2
