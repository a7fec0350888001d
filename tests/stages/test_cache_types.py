"""Number types of the KV cache, and attention with and without its one operator."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mimo_edge.bundle.default_bundle import demo_bundle
from mimo_edge.bundle.files import load_manifest
from mimo_edge.engine import Engine
from mimo_edge.errors import BadInputError
from mimo_edge.measure.speech_cost import ways_of
from mimo_edge.stages.machine.memory_needs import MemoryNeeds
from mimo_edge.stages.machine.runtime_options import RuntimeOptions


def hidden_states(bundle: Path, options: RuntimeOptions) -> tuple[NDArray[np.float32], int]:
    """Behind each of a few positions, and bytes of the cache of all of them."""
    with contextlib.closing(Engine.load(bundle, options)) as engine:
        sequence = engine.backbone.new_sequence()
        rows = engine.backbone.embed(np.arange(40, 64, dtype=np.int32))
        (outputs,) = engine.backbone.evaluate([(sequence, rows, len(rows))])
        size = len(sequence.save())
        sequence.close()
    return np.stack([output.hidden for output in outputs]), size


@pytest.mark.parametrize("flash_attention", [None, False, True])
def test_they_say_the_same(flash_attention: bool | None) -> None:
    """Up to rounding; and one of 8 bits takes about half of one of 16."""
    bundle = demo_bundle()
    assert bundle is not None
    exact = RuntimeOptions(threads=1, kv_type="f32", flash_attention=False, device="cpu")
    expected, _ = hidden_states(bundle, exact)
    sizes = []
    for kv_type in ("f16", "q8_0"):
        if kv_type == "q8_0" and flash_attention is False:
            continue
        options = RuntimeOptions(
            threads=1,
            kv_type=kv_type,
            flash_attention=flash_attention,
            device="cpu",
        )
        found, size = hidden_states(bundle, options)
        assert np.abs(found - expected).max() < 0.03 * np.abs(expected).max()
        sizes.append(size)
    if len(sizes) == 2:
        assert 0.5 < sizes[1] / sizes[0] < 0.6


def test_heads_that_do_not_fit() -> None:
    """8 bits have a scale for 32 numbers; llama.cpp refuses a head that is no multiple of them."""
    bundle = demo_bundle()
    assert bundle is not None
    manifest = load_manifest(bundle)
    options = RuntimeOptions(kv_type="q8_0", device="cpu")
    odd = replace(manifest, backbone=replace(manifest.backbone, head_dim=48))
    assert options.kv_type_for(manifest.backbone) == "q8_0"
    assert options.kv_type_for(odd.backbone) == "f16"
    # The room that is asked for is that of the cache that is made.
    small, large, same = (
        (MemoryNeeds.of(of, how, 1, repack=False).cache, ways_of(how, skips_head=True, manifest=of))
        for of, how in (
            (manifest, options),
            (odd, options),
            (odd, replace(options, kv_type="f16")),
        )
    )
    assert large == same and large[0] > small[0] and large[1].cache_bytes > small[1].cache_bytes


def test_what_does_not_go_together() -> None:
    with pytest.raises(BadInputError, match="q8_0 needs flash attention"):
        RuntimeOptions(kv_type="q8_0", flash_attention=False)
