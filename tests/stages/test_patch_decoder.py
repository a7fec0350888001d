"""The patches of several answers decoded in one pass: each is the patch of its answer alone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mimo_edge.bundle.files import load_manifest
from mimo_edge.engine import Engine
from mimo_edge.stages.graphs.graph import Graph
from mimo_edge.stages.machine.placement import Placement
from mimo_edge.stages.patch_steps import PatchSteps
from mimo_edge.stages.sampling import GREEDY, SamplerOptions

OPTIONS = (SamplerOptions(temperature=0.9, top_p=0.95), GREEDY, SamplerOptions(top_k=20))


def states(rows: int, width: int) -> NDArray[np.float32]:
    return np.random.default_rng(rows).standard_normal((rows, width), dtype=np.float32)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 8])
def test_codes_are_the_same_alone_and_beside_others(engine: Engine, rows: int) -> None:
    """Float32; each row with its own options and its own generator."""
    hidden = states(rows, engine.manifest.backbone.hidden_size)
    options = [OPTIONS[row % len(OPTIONS)] for row in range(rows)]
    rngs = [np.random.default_rng(100 + row) for row in range(rows)]
    together = engine.patch_decoder.decode_all(hidden, options, rngs)
    for row in range(rows):
        rng = np.random.default_rng(100 + row)
        alone = engine.patch_decoder.decode(hidden[row], options[row], rng)
        np.testing.assert_array_equal(together[row], alone)
        assert rng.random() == rngs[row].random(), "the generators have drawn as often"


def test_logits_are_the_same_alone_and_beside_others(reference_bundle: Path) -> None:
    """Float32: to the last bit, in every step."""
    manifest = load_manifest(reference_bundle)
    patch = manifest.patch
    graph = Graph.load(reference_bundle, "patch_decoder", manifest, Placement(threads=2))
    steps = PatchSteps(graph, sum(patch.vocab_sizes))
    x = np.random.default_rng(1).standard_normal((6, 8, patch.local_dim), dtype=np.float32)
    try:
        for rows in (2, 3, 4, 8):
            found = logits_of(steps, x[:, :rows])
            for row in range(rows):
                np.testing.assert_array_equal(found[:, row, None], logits_of(steps, x[:, [row]]))
    finally:
        steps.close()


def logits_of(steps: PatchSteps, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of every step of `x` [steps, rows, dim]."""
    with steps.begin(x.shape[1]) as run:
        return np.stack([run(step).copy() for step in x])


def test_patches_that_are_decoded_at_once_do_not_touch_each_other(reference_bundle: Path) -> None:
    manifest = load_manifest(reference_bundle)
    patch = manifest.patch
    graph = Graph.load(reference_bundle, "patch_decoder", manifest, Placement(threads=1))
    steps = PatchSteps(graph, sum(patch.vocab_sizes))
    x = np.random.default_rng(3).standard_normal((2, 5, 1, patch.local_dim), dtype=np.float32)
    try:
        alone = [logits_of(steps, each) for each in x]
        with steps.begin(1) as run, steps.begin(1) as other:
            together = [(run(a).copy(), other(b).copy()) for a, b in zip(*x, strict=True)]
        np.testing.assert_array_equal(np.stack(together, axis=1), alone)
    finally:
        steps.close()


@pytest.mark.parametrize(("rows", "ends"), [(1, (7,)), (3, (7,)), (1, (1, 7)), (1, (3, 5, 7))])
def test_several_steps_at_once_see_only_those_before(
    reference_bundle: Path, rows: int, ends: tuple[int, ...]
) -> None:
    """Steps that are taken together give what they give one by one."""
    manifest = load_manifest(reference_bundle)
    dim = manifest.patch.local_dim
    with Graph.load(reference_bundle, "patch_decoder", manifest, Placement(threads=1)) as graph:
        x = np.random.default_rng(2).standard_normal((rows, ends[-1], dim), dtype=np.float32)
        slow = logits_at(graph, x, range(1, ends[-1] + 1))
        for end, found in logits_at(graph, x, ends).items():
            np.testing.assert_allclose(found, slow[end], rtol=0, atol=1e-5 * np.abs(found).max())


def logits_at(
    graph: Graph, x: NDArray[np.float32], ends: Iterable[int]
) -> dict[int, NDArray[np.float32]]:
    """Logits after so many steps of `x` [batch, steps, dim], which are taken from end to end."""
    caches = {
        name: np.zeros((len(x), *value.shape[1:]), dtype=np.float32)
        for name, value in graph.inputs.items()
        if name.startswith("past_")
    }
    names = [name.replace("past", "present", 1) for name in caches]
    start, found = 0, {}
    for end in ends:
        feeds = {
            "x": np.ascontiguousarray(x[:, start:end]),
            "last_step": np.full(len(x), end - 1, dtype=np.int32),
            "steps": np.array(end, dtype=np.int32),
        }
        found[end], *present = graph.run({**feeds, **caches}, ["logits", *names])
        caches, start = dict(zip(caches, present, strict=True)), end
    return found


def test_quantized_rows_do_not_mix(default_bundle: Path) -> None:
    """In 4 bits, too, a row is decoded from its own state, wherever it is and whoever is beside.

    Up to rounding: the kernels may sum a row in another order beside others, and an input beside
    the border of two of the 8-bit steps then goes the other way. Another row is far away from that.
    """
    manifest = load_manifest(default_bundle)
    patch = manifest.patch
    x = np.random.default_rng(4).standard_normal((6, 8, patch.local_dim), dtype=np.float32)
    with Graph.load(default_bundle, "patch_decoder", manifest, Placement(threads=1)) as graph:
        steps = PatchSteps(graph, sum(patch.vocab_sizes))
        alone = np.concatenate([logits_of(steps, x[:, [row]]) for row in range(8)], axis=1)
        for order in ([0, 1], [2, 0, 1], [1, 2, 0], [3, 1, 0, 2], [7, 6, 5, 4, 3, 2, 1, 0]):
            found = logits_of(steps, x[:, order])
            for place, row in enumerate(order):
                distances = [np.abs(found[:, place] - alone[:, one]).max() for one in range(8)]
                assert distances[row] < 0.1 * np.partition(distances, 1)[1], (order, place)
