"""Patch encoder and patch decoder in llama.cpp: they compute what the graphs compute."""

from __future__ import annotations

import gc
import shutil
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from mimo_edge.bundle.files import load_manifest
from mimo_edge.bundle.gguf_header import read_header
from mimo_edge.bundle.manifest import PATCH_DECODER_GGUF, PATCH_ENCODER_GGUF, Manifest
from mimo_edge.engine import Engine
from mimo_edge.errors import BadInputError, MimoEdgeError
from mimo_edge.stages.machine.measured import Measured
from mimo_edge.stages.machine.patch_place import patch_form
from mimo_edge.stages.machine.placement import Placement
from mimo_edge.stages.machine.runtime_options import RuntimeOptions
from mimo_edge.stages.patch_decoder import PatchDecoder
from mimo_edge.stages.patch_encoder import PatchEncoder
from mimo_edge.stages.sampling import GREEDY, SamplerOptions
from tests.conftest import EXACT
from tests.tools.bundles import convert_checkpoint
from tests.tools.command_line import Command
from tests.tools.gguf_files import rewrite_gguf, scalar_value, string_value
from tests.tools.random_checkpoint import make_checkpoint

GRAPH = Placement(threads=1)
GGUF = Placement(threads=1, form="gguf", exact=True)
OPTIONS = (SamplerOptions(temperature=0.9, top_p=0.95), GREEDY, SamplerOptions(top_k=20))

Decoders = dict[str, PatchDecoder]


def states(rows: int, width: int) -> NDArray[np.float32]:
    return np.random.default_rng(rows).standard_normal((rows, width), dtype=np.float32)


def codes(patches: int, manifest: Manifest) -> NDArray[np.int64]:
    """Any codes, empty ones among them."""
    patch = manifest.patch
    shape = (patches, patch.group_size, patch.channels)
    return np.random.default_rng(patches).integers(0, patch.vocab_sizes, shape)


@pytest.fixture(scope="module")
def manifest(gguf_bundle: Path) -> Manifest:
    return load_manifest(gguf_bundle)


@pytest.fixture(scope="module")
def decoders(gguf_bundle: Path, manifest: Manifest) -> Iterator[Decoders]:
    with ExitStack() as opened:
        yield {
            place.form: opened.enter_context(
                closing(PatchDecoder.load(gguf_bundle, manifest, place))
            )
            for place in (GRAPH, GGUF)
        }


@pytest.mark.parametrize("rows", [1, 2, 3, 8, 40])
def test_the_same_codes_as_the_graph(decoders: Decoders, manifest: Manifest, rows: int) -> None:
    """Float32; each row with its own options and its own generator, alone and beside others."""
    hidden = states(rows, manifest.backbone.hidden_size)
    options = [OPTIONS[row % len(OPTIONS)] for row in range(rows)]

    def rngs() -> list[np.random.Generator]:
        return [np.random.default_rng(100 + row) for row in range(rows)]

    expected = decoders["onnx"].decode_all(hidden, options, rngs())
    together = decoders["gguf"].decode_all(hidden, options, rngs())
    np.testing.assert_array_equal(together, expected)
    for row in range(0, rows, 7):
        alone = decoders["gguf"].decode(hidden[row], options[row], rngs()[row])
        np.testing.assert_array_equal(alone, expected[row])


def test_the_same_logits_as_the_graph(decoders: Decoders, manifest: Manifest) -> None:
    hidden = states(1, manifest.backbone.hidden_size)[0]
    patch = codes(1, manifest)[0]
    expected, found = (decoders[form].logits_along(hidden, patch) for form in ("onnx", "gguf"))
    assert len(found) == manifest.patch.group_size * manifest.patch.channels
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-4 * np.abs(one).max())


def test_half_precision_is_near(gguf_bundle: Path, decoders: Decoders, manifest: Manifest) -> None:
    """As answers are decoded on a processor: attention in one operator, weights laid out anew."""
    hidden = states(1, manifest.backbone.hidden_size)[0]
    patch = codes(1, manifest)[0]
    expected = decoders["onnx"].logits_along(hidden, patch)
    place = Placement(threads=2, makes_way=True, form="gguf", repack=True)
    with closing(PatchDecoder.load(gguf_bundle, manifest, place)) as decoder:
        found = decoder.logits_along(hidden, patch)
        rng = np.random.default_rng(0)
        alone = decoder.decode(hidden, GREEDY, rng)
        beside = decoder.decode_all(np.stack([hidden, -hidden, hidden]), [GREEDY] * 3, [rng] * 3)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(other, one, rtol=0, atol=2e-3 * np.abs(one).max())
    np.testing.assert_array_equal(alone, decoders["onnx"].decode(hidden, GREEDY, rng))
    np.testing.assert_array_equal(beside[[0, 2]], [alone, alone])
    with closing(PatchEncoder.load(gguf_bundle, manifest, place)) as encoder:
        embedded = encoder.encode(codes(5, manifest))
    with closing(PatchEncoder.load(gguf_bundle, manifest, GRAPH)) as encoder:
        exact = encoder.encode(codes(5, manifest))
    assert np.abs(embedded - exact).max() <= 2e-3 * np.abs(exact).max()


def test_threads_wait_for_each_other(decoders: Decoders, manifest: Manifest) -> None:
    """Whoever decodes patches at the same time gets his own."""
    hidden = states(12, manifest.backbone.hidden_size)
    rng = np.random.default_rng(0)
    alone = [decoders["gguf"].decode(row, GREEDY, rng) for row in hidden]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda row: decoders["gguf"].decode(row, GREEDY, rng), hidden))
    np.testing.assert_array_equal(found, alone)


@pytest.mark.parametrize("profile", ["second", "bare"])
def test_the_same_embeddings_as_the_graph(tmp_path: Path, profile: str) -> None:
    """Of other shapes, too: another width in the decoder, attention to what is before alone."""
    made = make_checkpoint(tmp_path / profile, profile)
    bundle = convert_checkpoint(made.model, made.tokenizer, tmp_path / "bundle", patch_gguf=True)
    manifest = load_manifest(bundle)
    hidden = states(3, manifest.backbone.hidden_size)
    with ExitStack() as opened:
        encoders = [PatchEncoder.load(bundle, manifest, place) for place in (GRAPH, GGUF)]
        for encoder in encoders:
            opened.callback(encoder.close)
        for patches in (1, 2, 5, 70):
            expected, found = (one.encode(codes(patches, manifest)) for one in encoders)
            assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
        rngs = [np.random.default_rng(0)] * 3
        decoded = []
        for place in (GRAPH, GGUF):
            decoder = PatchDecoder.load(bundle, manifest, place)
            opened.callback(decoder.close)
            decoded.append(decoder.decode_all(hidden, [GREEDY] * 3, rngs))
        np.testing.assert_array_equal(decoded[1], decoded[0])


def test_closed_ones_say_so(gguf_bundle: Path, manifest: Manifest) -> None:
    decoder = PatchDecoder.load(gguf_bundle, manifest, GGUF)
    encoder = PatchEncoder.load(gguf_bundle, manifest, GGUF)
    hidden, rng = states(1, manifest.backbone.hidden_size)[0], np.random.default_rng(0)
    decoder.decode(hidden, GREEDY, rng)
    for part in (decoder, encoder):
        part.close()
        part.close()
    with pytest.raises(MimoEdgeError, match="the model is closed"):
        decoder.decode(hidden, GREEDY, rng)
    with pytest.raises(MimoEdgeError, match="the model is closed"):
        encoder.encode(codes(1, manifest))


def test_auto_is_the_graph_on_a_processor(gguf_bundle: Path, reference_bundle: Path) -> None:
    """Unless it was measured otherwise; and what the bundle has not cannot be asked for."""
    with_files, without = load_manifest(gguf_bundle), load_manifest(reference_bundle)
    cpu = RuntimeOptions(device="cpu")
    assert patch_form(with_files, cpu) == patch_form(without, cpu) == "onnx"
    assert patch_form(with_files, replace(cpu, patches="gguf")) == "gguf"
    with pytest.raises(BadInputError, match="has no GGUF of them"):
        patch_form(without, replace(cpu, patches="gguf"))
    measured = Measured(seconds={"patch_decoder": {"cpu": 0.2, "gguf cpu": 0.1}})
    assert patch_form(with_files, cpu, measured) == "gguf"
    assert patch_form(with_files, replace(cpu, patches="onnx"), measured) == "onnx"
    assert patch_form(without, cpu, measured) == "onnx"
    slower = Measured(seconds={"patch_decoder": {"cpu": 0.1, "gguf cpu": 0.2}})
    assert patch_form(with_files, cpu, slower) == "onnx"


@pytest.mark.parametrize("name", [PATCH_DECODER_GGUF, PATCH_ENCODER_GGUF, "patch_embeddings.npy"])
def test_a_missing_file_is_named(gguf_bundle: Path, tmp_path: Path, name: str) -> None:
    bundle = Path(shutil.copytree(gguf_bundle, tmp_path / "bundle"))
    (bundle / name).unlink()
    with pytest.raises(MimoEdgeError, match=rf"{name} is missing"):
        Engine.load(bundle, EXACT)


@pytest.mark.parametrize(
    ("name", "other", "complaint"),
    [
        (PATCH_DECODER_GGUF, PATCH_ENCODER_GGUF, "which does not fit the manifest"),
        (PATCH_ENCODER_GGUF, PATCH_DECODER_GGUF, "which does not fit the manifest"),
        (PATCH_ENCODER_GGUF, "backbone.gguf", "which no bundle has"),
        (PATCH_DECODER_GGUF, "manifest.json", "is no GGUF"),
        ("patch_embeddings.npy", "hidden_downcast.npy", "instead of float32"),
    ],
)
def test_files_of_another_shape_are_refused(
    gguf_bundle: Path, manifest: Manifest, tmp_path: Path, name: str, other: str, complaint: str
) -> None:
    """One sentence, before llama.cpp sees the file."""
    bundle = Path(shutil.copytree(gguf_bundle, tmp_path / "bundle"))
    shutil.copyfile(gguf_bundle / other, bundle / name)
    stage = PatchDecoder if name == PATCH_DECODER_GGUF else PatchEncoder
    with pytest.raises(MimoEdgeError) as said:
        stage.load(bundle, manifest, GGUF)
    text = str(said.value)
    assert name in text and complaint in text
    assert text.endswith(".") and text.isprintable() and len(text) < 500


@pytest.mark.parametrize("name", [PATCH_DECODER_GGUF, PATCH_ENCODER_GGUF])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("qwen2.block_count", scalar_value("UINT32", 0)),
        ("qwen2.block_count", scalar_value("UINT32", 1 << 31)),
        ("qwen2.block_count", string_value(b"two")),
        ("qwen2.embedding_length", scalar_value("UINT32", 0)),
        ("qwen2.embedding_length", scalar_value("UINT32", 1 << 30)),
        ("qwen2.embedding_length", None),
        ("qwen2.attention.head_count", scalar_value("UINT32", 0)),
        ("qwen2.attention.head_count_kv", scalar_value("UINT32", 3)),
        ("qwen2.rope.freq_base", scalar_value("FLOAT32", float("nan"))),
        ("qwen2.attention.causal", scalar_value("UINT32", 1)),
        ("qwen2.vocab_size", scalar_value("UINT32", 1 << 30)),
        ("tokenizer.ggml.model", string_value(b"gpt2")),
        ("qwen2.rope.scaling.type", string_value(b"yarn")),
    ],
)
def test_values_that_llama_cpp_would_trust_are_refused(
    gguf_bundle: Path,
    manifest: Manifest,
    tmp_path: Path,
    name: str,
    key: str,
    value: bytes | None,
) -> None:
    for file in (name, "patch_embeddings.npy", "code_embeddings.npy", "hidden_downcast.npy"):
        shutil.copyfile(gguf_bundle / file, tmp_path / file)
    rewrite_gguf(tmp_path / name, {key: value})
    stage = PatchDecoder if name == PATCH_DECODER_GGUF else PatchEncoder
    with pytest.raises(MimoEdgeError) as said:
        stage.load(tmp_path, manifest, GGUF)
    text = str(said.value)
    assert name in text and "damaged" in text
    assert text.endswith(".") and text.isprintable() and len(text) < 500


@pytest.mark.parametrize("name", [PATCH_DECODER_GGUF, PATCH_ENCODER_GGUF])
def test_damaged_weights_are_named(
    gguf_bundle: Path, manifest: Manifest, tmp_path: Path, name: str
) -> None:
    """A norm that is no number makes everything behind it none."""
    for file in (name, "patch_embeddings.npy", "code_embeddings.npy", "hidden_downcast.npy"):
        shutil.copyfile(gguf_bundle / file, tmp_path / file)
    norm = read_header(tmp_path / name).tensors["output_norm.weight"]
    with (tmp_path / name).open("r+b") as stream:
        stream.seek(norm.offset)
        stream.write(np.full(norm.shape, np.nan, dtype=np.float32).tobytes())
    stage = "patch decoder" if name == PATCH_DECODER_GGUF else "patch encoder"
    with pytest.raises(MimoEdgeError, match=f"the {stage} computes what is not a number"):
        if name == PATCH_DECODER_GGUF:
            with closing(PatchDecoder.load(tmp_path, manifest, GGUF)) as decoder:
                hidden = states(1, manifest.backbone.hidden_size)[0]
                decoder.decode(hidden, GREEDY, np.random.default_rng(0))
        else:
            with closing(PatchEncoder.load(tmp_path, manifest, GGUF)) as encoder:
                encoder.encode(codes(1, manifest))


def test_closing_gives_the_memory_back(gguf_bundle: Path, manifest: Manifest) -> None:
    """Cache and weights: forty times loaded, and as large as after the tenth time."""
    hidden = states(2, manifest.backbone.hidden_size)
    process, sizes = psutil.Process(), []
    for _ in range(40):
        decoder = PatchDecoder.load(gguf_bundle, manifest, GGUF)
        decoder.decode_all(hidden, [GREEDY] * 2, [np.random.default_rng(0)] * 2)
        decoder.close()
        sizes.append(process.memory_info().rss)
    # One cache alone takes more than that: 256 positions of two layers, and the buffers.
    assert sizes[-1] - sizes[10] < 8e6


def test_a_model_that_is_dropped_is_freed(gguf_bundle: Path) -> None:
    """Without `close`, with the last reference; and one that is closed in the middle says so."""
    engine = Engine.load(gguf_bundle, replace(EXACT, patches="gguf"))
    hidden = states(1, engine.manifest.backbone.hidden_size)[0]
    engine.patch_decoder.decode(hidden, GREEDY, np.random.default_rng(0))
    decoder, gone = engine.patch_decoder, weakref.ref(engine.patch_encoder)
    engine.close()
    with pytest.raises(MimoEdgeError, match="the model is closed"):
        decoder.decode(hidden, GREEDY, np.random.default_rng(0))
    del engine
    gc.collect()
    assert gone() is None


def test_the_command_says_what_a_bundle_lacks(command: Command, tmp_path: Path) -> None:
    done = command("speak", "Hello.", "--patches", "gguf", "-o", tmp_path / "hello.wav")
    assert "has no GGUF of them" in done.sentence
