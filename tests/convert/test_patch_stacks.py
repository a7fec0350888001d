"""GGUF files of patch encoder and patch decoder beside the graphs of a bundle."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from convert.recipes import change_recipe, get_recipe, part_sizes, with_patch_stacks, without_speech
from convert.released import RELEASED_AUDIO, RELEASED_LANGUAGE
from mimo_edge import MimoAudio, RuntimeOptions
from mimo_edge.bundle.documents import COMPANIONS
from mimo_edge.bundle.files import load_manifest
from mimo_edge.bundle.gguf_header import read_header
from mimo_edge.bundle.manifest import MANIFEST_FILE, OPTIONAL_PARTS, PART_FILES, Manifest
from mimo_edge.errors import BadInputError, MimoEdgeError
from tests.commands.test_bundle_commands import run
from tests.golden.folder import Golden

OPTIONS = RuntimeOptions(threads=1, context=64, device="cpu")
FILES = {name for part in OPTIONAL_PARTS for name in PART_FILES[part]}


@pytest.fixture(scope="module")
def bundle(golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the command makes it, one of the parts in another type."""
    out = tmp_path_factory.mktemp("stacks") / "bundle"
    source = ("--model", golden.model, "--tokenizer", golden.tokenizer, "--threads", 1)
    wanted = ("--patch-decoder", "gguf", "--precision", "patch_encoder_gguf=q4_k")
    done = run(*source, "--recipe", "quality", *wanted, "--out", out, module="convert")
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in FILES)
    assert "quantizing patch_decoder.gguf" in done.stderr
    return out


def test_they_lie_beside_the_graphs(bundle: Path) -> None:
    manifest = load_manifest(bundle)
    listed = {file.name for file in manifest.files}
    assert listed >= FILES
    left = {path.name for path in bundle.iterdir()} - listed - {MANIFEST_FILE, *COMPANIONS}
    assert not left, "nothing of the work stays behind"
    assert manifest.precisions["patch_decoder_gguf"] == "q8_0"
    assert manifest.precisions["patch_encoder_gguf"] == "q4_k"
    kinds = {
        name: read_header(bundle / f"{name}.gguf").tensors for name in ("patch_decoder", "backbone")
    }
    assert kinds["patch_decoder"]["blk.0.ffn_up.weight"].kind == "Q8_0"
    assert "output.weight" not in kinds["patch_decoder"]
    lines = run("info", bundle).stdout.splitlines()
    assert any("patch_decoder.gguf" in line and "q8_0" in line for line in lines)
    assert run("verify", bundle).returncode == 0


def test_a_damaged_one_is_found(bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    path = copy / "patch_decoder.gguf"
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)
    done = run("verify", copy)
    assert done.returncode != 0 and "patch_decoder.gguf" in done.stdout + done.stderr


def test_it_runs_in_both_forms(bundle: Path) -> None:
    for patches in ("onnx", "gguf"):
        with MimoAudio.load(bundle, replace(OPTIONS, patches=patches)) as model:
            model.warm_up()


def test_sizes_are_told_before_converting(bundle: Path) -> None:
    """And those of a bundle that only listens: its patch encoder alone."""
    recipe = with_patch_stacks(get_recipe("default"))
    plain = part_sizes(get_recipe("default"), RELEASED_LANGUAGE, RELEASED_AUDIO)
    sizes = part_sizes(recipe, RELEASED_LANGUAGE, RELEASED_AUDIO)
    assert {name: sizes[name] for name in plain} == plain
    assert sizes.keys() - plain.keys() == OPTIONAL_PARTS.keys()
    assert 0.15e9 < sizes["patch_decoder_gguf"] < 0.17e9
    silent = with_patch_stacks(without_speech(get_recipe("default")))
    assert "patch_encoder_gguf" in silent.precisions()
    assert "patch_decoder_gguf" not in silent.precisions()


def test_what_cannot_be_chosen_is_refused() -> None:
    recipe = with_patch_stacks(get_recipe("default"))
    with pytest.raises(BadInputError, match="patch_decoder_gguf is stored as one of f32, f16"):
        change_recipe(recipe, ["patch_decoder_gguf=w8"])
    with pytest.raises(BadInputError, match="there is no part 'patch_decoder_gguf'"):
        change_recipe(get_recipe("default"), ["patch_decoder_gguf=q8_0"])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda parts: parts.pop("patch_decoder_gguf"), "which no part of this bundle has"),
        (lambda parts: parts.pop("patch_encoder"), "precisions has no part 'patch_encoder'"),
        (lambda parts: parts.update(patch_gguf="f32"), "an unknown part 'patch_gguf'"),
    ],
)
def test_manifests_that_do_not_fit_are_refused(
    bundle: Path, tmp_path: Path, change: Callable[[dict[str, str]], object], complaint: str
) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    manifest: Manifest = load_manifest(bundle)
    parts = dict(manifest.precisions)
    change(parts)
    changed = replace(manifest, precisions=parts)
    (copy / MANIFEST_FILE).write_text(changed.to_json(), encoding="utf-8")
    with pytest.raises(MimoEdgeError, match=complaint):
        MimoAudio.load(copy, OPTIONS)
