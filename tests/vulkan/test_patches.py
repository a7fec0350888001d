"""Patch decoder and patch encoder on a Vulkan device compute what their graphs do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from mimo_edge.bundle.files import load_manifest
from mimo_edge.bundle.manifest import Manifest
from mimo_edge.stages.gpu import Gpu
from mimo_edge.stages.patch_decoder import PatchDecoder
from mimo_edge.stages.patch_encoder import PatchEncoder
from mimo_edge.stages.placement import Placement
from mimo_edge.stages.sampling import GREEDY, SamplerOptions
from tests.golden.folder import relative

pytestmark = pytest.mark.vulkan

GRAPH = Placement(threads=1)
DRAWN = SamplerOptions(temperature=0.9, top_p=0.95)


@pytest.fixture
def there(gpu: Gpu) -> Placement:
    return Placement(threads=1, form="gguf", device=gpu.name, exact=True)


@pytest.fixture
def manifest(gguf_bundle: Path) -> Iterator[Manifest]:
    yield load_manifest(gguf_bundle)


@pytest.mark.parametrize(
    ("rows", "sampler", "same"), [(1, GREEDY, 1), (1, DRAWN, 1), (4, GREEDY, 3)]
)
def test_the_same_codes_as_the_graph(
    gguf_bundle: Path,
    manifest: Manifest,
    there: Placement,
    rows: int,
    sampler: SamplerOptions,
    same: int,
) -> None:
    """Exactly one by one. In a batch attention is rounded to half precision (see `conftest`), and
    where two codes are nearly as likely, the other one may come out: so one of four may differ."""
    width = manifest.backbone.hidden_size
    hidden = np.random.default_rng(rows).standard_normal((rows, width), dtype=np.float32)
    found = []
    for place in (GRAPH, there):
        with closing(PatchDecoder.load(gguf_bundle, manifest, place)) as decoder:
            rngs = [np.random.default_rng(row) for row in range(rows)]
            found.append(decoder.decode_all(hidden, [sampler] * rows, rngs))
    equal = [np.array_equal(one, other) for one, other in zip(*found, strict=True)]
    assert sum(equal) >= same


def test_the_same_embeddings_as_the_graph(
    gguf_bundle: Path, manifest: Manifest, there: Placement
) -> None:
    patch = manifest.patch
    codes = np.random.default_rng(0).integers(
        0, patch.vocab_sizes, (5, patch.group_size, patch.channels)
    )
    with closing(PatchEncoder.load(gguf_bundle, manifest, GRAPH)) as encoder:
        expected = encoder.encode(codes)
    with closing(PatchEncoder.load(gguf_bundle, manifest, there)) as encoder:
        # The four positions of a patch are one batch: half precision in attention.
        assert relative(encoder.encode(codes), expected) <= 2**-8
