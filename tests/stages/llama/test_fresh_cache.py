"""A large cache of which little is used takes little memory, and says what it always said."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from mimo_edge.bundle.default_bundle import demo_bundle
from mimo_edge.engine import Engine
from mimo_edge.stages.llama.sequence import BackboneSequence
from mimo_edge.stages.machine.runtime_options import RuntimeOptions
from mimo_edge.system.peak_memory import anonymous_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux is told")

LARGE = RuntimeOptions(threads=1, device="cpu", full_head=False, cache_positions=100_000)
CACHE_BYTES = 205e6
"""Of so many positions of the demo model."""


@contextlib.contextmanager
def loaded(options: RuntimeOptions) -> Iterator[Engine]:
    bundle = demo_bundle()
    assert bundle is not None
    with contextlib.closing(Engine.load(bundle, options)) as engine:
        yield engine


def grow(engine: Engine, sequence: BackboneSequence, first: int, count: int) -> np.ndarray:
    """The hidden states behind some more positions."""
    rows = engine.backbone.embed(np.arange(first, first + count, dtype=np.int32))
    (outputs,) = engine.backbone.evaluate([(sequence, rows, count)])
    return np.stack([output.hidden for output in outputs])


@pytest.mark.parametrize("kv_type", ["f32", "f16", "q8_0"])
def test_only_what_is_used_is_in_memory(kv_type: str) -> None:
    options = replace(LARGE, kv_type=kv_type)  # type: ignore[arg-type]
    before = anonymous_memory() or 0
    with loaded(options) as engine:
        opened = (anonymous_memory() or 0) - before
        sequence = engine.backbone.new_sequence()
        grow(engine, sequence, 40, 24)
        used = (anonymous_memory() or 0) - before
    assert opened < CACHE_BYTES / 2 and used < CACHE_BYTES / 2


def test_answers_are_the_same() -> None:
    """As those of a cache of the usual size: two conversations, over several evaluations."""
    found = []
    for cells in (None, 100_000):
        with loaded(replace(LARGE, cache_positions=cells)) as engine:
            one, other = engine.backbone.new_sequence(), engine.backbone.new_sequence()
            states = [grow(engine, one, 40, 24), grow(engine, other, 90, 60)]
            states += [grow(engine, one, 64, 30), grow(engine, other, 150, 1)]
            found.append(np.concatenate(states))
    np.testing.assert_allclose(found[1], found[0], atol=1e-4 * np.abs(found[0]).max())


def test_what_was_restored_first_is_kept() -> None:
    """A conversation that is put back before anything was evaluated."""
    with loaded(LARGE) as engine:
        sequence = engine.backbone.new_sequence()
        grow(engine, sequence, 40, 24)
        saved = sequence.save()
        expected = grow(engine, sequence, 64, 4)
    with loaded(LARGE) as engine:
        sequence = engine.backbone.new_sequence()
        assert sequence.restore(saved, 24)
        found = grow(engine, sequence, 64, 4)
    np.testing.assert_array_equal(found, expected)
