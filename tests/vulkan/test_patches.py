"""Patch decoder and patch encoder on a Vulkan device compute what their graphs do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from mimo_edge.bundle.files import load_manifest
from mimo_edge.bundle.manifest import Manifest
from mimo_edge.model import MimoAudio
from mimo_edge.stages.machine.gpu import Gpu
from mimo_edge.stages.machine.placement import Placement
from mimo_edge.stages.machine.runtime_options import RuntimeOptions
from mimo_edge.stages.patch_decoder import PatchDecoder
from mimo_edge.stages.patch_encoder import PatchEncoder
from mimo_edge.stages.sampling import GREEDY, SamplerOptions
from mimo_edge.tasks import Overrides
from tests.demo.test_demo import ANSWERS
from tests.golden.folder import relative
from tests.tools.bundles import convert_checkpoint
from tests.vulkan.test_devices import run

pytestmark = pytest.mark.vulkan

ROOT = Path(__file__).parents[2]
CHECKPOINT = ROOT / "models" / "demo-checkpoint" / "MiMo-Audio-Demo"
QUESTIONS = ROOT / "tests" / "data" / "demo"
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


@pytest.fixture(scope="module")
def whole(gpu: Gpu, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MimoAudio]:
    """The demo model with everything but the audio tokenizer on the GPU."""
    out = tmp_path_factory.mktemp("whole") / "bundle"
    tokenizer = CHECKPOINT.with_name("MiMo-Audio-Demo-Tokenizer")
    convert_checkpoint(CHECKPOINT, tokenizer, out, "quality", patch_gguf=True)
    with MimoAudio.load(out, RuntimeOptions(device=gpu.name)) as model:
        yield model


def test_a_whole_answer(whole: MimoAudio) -> None:
    """Heard, answered and spoken: `auto` takes the GGUF files where the backbone is on a GPU."""
    seeded = Overrides(seed=2, max_new_tokens=120)
    with whole.session(overrides=seeded) as session:
        answer = session.ask(QUESTIONS / "sum.flac")
    assert answer.text == ANSWERS["sum"] and answer.audio is not None
    assert whole.transcribe(answer.audio, overrides=seeded).text == ANSWERS["sum"]


def test_answers_at_once(whole: MimoAudio) -> None:
    """Their patches are decoded in one batch."""
    names = ["color", "name"]

    def ask(name: str) -> str:
        with whole.session(overrides=Overrides(seed=2, max_new_tokens=120)) as session:
            answer = session.ask(QUESTIONS / f"{name}.flac")
        assert answer.audio is not None
        return answer.text

    with ThreadPoolExecutor(len(names)) as pool:
        assert list(pool.map(ask, names)) == [ANSWERS[name] for name in names]


def test_what_is_measured_is_named(gpu: Gpu, gguf_bundle: Path) -> None:
    for patches, way in (("auto", f"gguf {gpu.name}"), ("onnx", "cpu")):
        options = ("--runs", "1", "--threads", "1", "--device", gpu.name, "--patches", patches)
        done = run("bench", str(gguf_bundle), *options, "--json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout.splitlines()[-1])["runs_on"]
        assert (found["backbone"], found["patch_decoder"]) == (gpu.name, way)
