"""Bundles that are damaged, edited or mixed up: each gives one sentence, none loads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mimo_edge.bundle.files import file_sample, file_sha256, load_manifest
from mimo_edge.bundle.manifest import (
    BACKBONE_FILE,
    CODE_EMBEDDINGS_FILE,
    GRAPHS,
    HIDDEN_DOWNCAST_FILE,
    MANIFEST_FILE,
    BundleFile,
    Manifest,
)
from mimo_edge.errors import MimoEdgeError
from mimo_edge.model import MimoAudio
from mimo_edge.stages.machine.runtime_options import RuntimeOptions
from tests.tools.bundles import convert_checkpoint
from tests.tools.random_checkpoint import make_checkpoint
from tests.tools.safetensors_files import AUDIO_TOKENIZER, LANGUAGE_MODEL

OPTIONS = RuntimeOptions(threads=1, context=64, device="cpu")
FILES = (
    BACKBONE_FILE,
    CODE_EMBEDDINGS_FILE,
    HIDDEN_DOWNCAST_FILE,
    *(f"{graph}.onnx{suffix}" for graph in GRAPHS for suffix in ("", ".data")),
)

Bundles = dict[str, Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    """Bundles that tests must copy; the same shape has other weights."""
    folder = tmp_path_factory.mktemp("made")
    same = make_checkpoint(folder / "same", "tiny", seed=1)
    other = make_checkpoint(folder / "other", "second")
    return {
        "golden": convert_checkpoint(LANGUAGE_MODEL, AUDIO_TOKENIZER, folder / "golden-bundle"),
        "same shape": convert_checkpoint(same.model, same.tokenizer, folder / "same-bundle"),
        "other shape": convert_checkpoint(other.model, other.tokenizer, folder / "other-bundle"),
    }


@pytest.fixture
def bundle(made: Bundles, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made["golden"], tmp_path / "bundle"))


def complaint(bundle: Path) -> str:
    """What loading says; one sentence for a person, that names a path of the bundle."""
    with pytest.raises(MimoEdgeError) as caught:
        MimoAudio.load(bundle, OPTIONS).close()
    text = str(caught.value)
    assert str(bundle) in text
    assert text.endswith(".") and "\n" not in text and len(text) < 500
    return text


def edit(bundle: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest as an editor would."""
    path = bundle / MANIFEST_FILE
    raw = json.loads(path.read_text("utf-8"))
    change(raw)
    path.write_text(json.dumps(raw), "utf-8")


def sign(bundle: Path, manifest: Manifest) -> None:
    """Write the manifest so that it describes the files as they now are.

    What then still refuses the bundle are the checks of the parts themselves.
    """
    files = tuple(
        BundleFile(
            name=path.name,
            size=path.stat().st_size,
            sha256=file_sha256(path),
            sample=file_sample(path),
            parameters=0,
        )
        for path in (bundle / file.name for file in manifest.files)
    )
    (bundle / MANIFEST_FILE).write_text(replace(manifest, files=files).to_json(), "utf-8")


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing_short_or_changed(bundle: Path, name: str) -> None:
    path = bundle / name
    data = path.read_bytes()
    path.unlink()
    assert complaint(bundle) == f"{path} is missing; copy the whole bundle or convert again."
    for part in (b"", data[: len(data) // 2], data[:-1]):
        path.write_bytes(part)
        expected = f"{path} has {len(part)} bytes instead of {len(data)}: it is truncated"
        assert complaint(bundle).startswith(expected)
    path.write_bytes(bytes(len(data)))
    assert complaint(bundle).startswith(f"{path} is not the file that the manifest describes")


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_bundle(made: Bundles, bundle: Path, name: str) -> None:
    own = file_sha256(bundle / name)
    for donor in ("same shape", "other shape"):
        same = file_sha256(made[donor] / name) == own
        shutil.copyfile(made[donor] / name, bundle / name)
        if same:  # a graph's structure says nothing of its weights
            MimoAudio.load(bundle, OPTIONS).close()
        else:
            assert str(bundle / name) in complaint(bundle), donor
        assert not same or (donor == "same shape" and name.endswith(".onnx")), donor


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_graph_of_another_shape_breaks_its_contract(
    made: Bundles, bundle: Path, graph: str
) -> None:
    """Even if the manifest were made to fit the files."""
    for suffix in ("", ".data"):
        name = f"{graph}.onnx{suffix}"
        shutil.copyfile(made["other shape"] / name, bundle / name)
    sign(bundle, load_manifest(made["golden"]))
    text = complaint(bundle)
    assert f"{graph}.onnx" in text
    assert "the graph is of another bundle" in text or "convert again" in text


@pytest.mark.parametrize("name", [BACKBONE_FILE, CODE_EMBEDDINGS_FILE, HIDDEN_DOWNCAST_FILE])
def test_a_part_of_another_shape(made: Bundles, bundle: Path, name: str) -> None:
    shutil.copyfile(made["other shape"] / name, bundle / name)
    sign(bundle, load_manifest(made["golden"]))
    text = complaint(bundle)
    assert name in text and "it is of another bundle" in text


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_that_the_manifest_describes(
    made: Bundles, bundle: Path, name: str
) -> None:
    """A checksum cannot help; llama.cpp, onnxruntime and NumPy have to refuse it."""
    data = (bundle / name).read_bytes()
    for share in (0.0, 0.3, 0.95):
        (bundle / name).write_bytes(data[: int(share * len(data))])
        sign(bundle, load_manifest(made["golden"]))
        assert name.removesuffix(".data") in complaint(bundle), share


def set_version(raw: dict[str, Any]) -> None:
    raw["schema_version"] = 1


def add_key(raw: dict[str, Any]) -> None:
    raw["audio"]["loudness"] = 11


def drop_key(raw: dict[str, Any]) -> None:
    del raw["patch"]["delays"]


def wrong_type(raw: dict[str, Any]) -> None:
    raw["backbone"]["hidden_size"] = "256"


def outside(raw: dict[str, Any]) -> None:
    raw["files"][0]["name"] = "../backbone.gguf"


def no_files(raw: dict[str, Any]) -> None:
    raw["files"] = []


def another_rate(raw: dict[str, Any]) -> None:
    raw["audio"]["sample_rate"] = 16000


def no_heads(raw: dict[str, Any]) -> None:
    raw["patch"]["local_heads"] = 0


def no_tokens(raw: dict[str, Any]) -> None:
    raw["special_tokens"] = {}


def no_checksum(raw: dict[str, Any]) -> None:
    del raw["checksum"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (set_version, "has schema version 1 and this mimo_edge reads 2"),
        (add_key, "audio.loudness"),
        (drop_key, "patch.delays"),
        (wrong_type, "backbone.hidden_size"),
        (outside, "was edited or is damaged"),
        (no_files, "was edited or is damaged"),
        (another_rate, "was edited or is damaged"),
        (no_heads, "patch.local_heads"),
        (no_tokens, "was edited or is damaged"),
        (no_checksum, "was edited or is damaged"),
    ],
)
def test_an_edited_manifest(
    bundle: Path, change: Callable[[dict[str, Any]], None], expected: str
) -> None:
    edit(bundle, change)
    assert expected in complaint(bundle)


def test_a_manifest_laid_out_anew_is_the_same(bundle: Path) -> None:
    edit(bundle, lambda raw: None)  # other line breaks, escapes instead of letters
    MimoAudio.load(bundle, OPTIONS).close()


def test_a_file_outside_the_bundle(made: Bundles, bundle: Path) -> None:
    manifest = load_manifest(made["golden"])
    first, *others = manifest.files
    moved = replace(manifest, files=(replace(first, name=f"../{first.name}"), *others))
    (bundle / MANIFEST_FILE).write_text(moved.to_json(), "utf-8")
    assert "outside the bundle" in complaint(bundle)


@pytest.mark.parametrize("text", ["", "{", "\x00\x00", '"bundle"', "[]", "{}", "[" * 100_000])
def test_a_manifest_that_is_none(bundle: Path, text: str) -> None:
    (bundle / MANIFEST_FILE).write_text(text, "utf-8")
    assert MANIFEST_FILE in complaint(bundle)


def test_a_manifest_that_is_no_text(bundle: Path) -> None:
    (bundle / MANIFEST_FILE).write_bytes(b"\xff\xfe\x80" * 100)
    assert MANIFEST_FILE in complaint(bundle)


def test_what_is_no_bundle(tmp_path: Path) -> None:
    assert "is not a folder; give the folder of a bundle" in complaint(tmp_path / "nowhere")
    assert "is not a finished bundle" in complaint(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    assert "is not a folder" in complaint(tmp_path / "file")
    assert "is not a finished bundle" in complaint(LANGUAGE_MODEL)
