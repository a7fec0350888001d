"""Bundles with GGUF files of the patch stages travel whole: packed, pushed, pulled, verified."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from convert.sharing.pulling import pull
from convert.sharing.sources import FolderSource
from mimo_edge.bundle.files import load_manifest
from mimo_edge.bundle.manifest import OPTIONAL_PARTS, PART_FILES
from mimo_edge.bundle.replacement import PARTIAL_FOLDER
from mimo_edge.errors import MimoEdgeError
from tests.convert.sharing.small_wheels import make_wheelhouse
from tests.convert.sharing.test_sharing import run
from tests.tools.command_line import Command
from tests.tools.hub_server import Hub, hub_server
from tests.tools.hub_uploads import Uploads

PARTS = sorted(name for part in OPTIONAL_PARTS for name in PART_FILES[part])
BUNDLE = "owner/with-parts"
DAMAGED = "patch_decoder.gguf"


@pytest.fixture
def hub(gguf_bundle: Path, tmp_path: Path) -> Iterator[Hub]:
    served = Path(shutil.copytree(gguf_bundle, tmp_path / "served"))
    with hub_server({BUNDLE: served}) as hub:
        hub.uploads = Uploads(tmp_path)
        yield hub


@pytest.fixture
def damaged(gguf_bundle: Path, tmp_path: Path) -> Path:
    """The bundle with another bit in one of the parts."""
    copy = Path(shutil.copytree(gguf_bundle, tmp_path / "damaged"))
    data = bytearray((copy / DAMAGED).read_bytes())
    data[len(data) // 3] ^= 1
    (copy / DAMAGED).write_bytes(data)
    return copy


def same(folder: Path, bundle: Path) -> bool:
    """Whether a folder has every file that the bundle's manifest lists, and those parts."""
    names = [file.name for file in load_manifest(bundle).listed]
    assert set(names) >= set(PARTS)
    return all((folder / name).read_bytes() == (bundle / name).read_bytes() for name in names)


def test_packed(command: Command, gguf_bundle: Path, damaged: Path, tmp_path: Path) -> None:
    wheels, out = make_wheelhouse(tmp_path / "wheels"), tmp_path / "stick"
    assert command("pack", gguf_bundle, "--wheelhouse", wheels, "-o", out).status == 0
    assert same(out / "bundle", gguf_bundle)
    assert command("verify", out).status == command("verify", out / "bundle").status == 0
    for name in PARTS:
        path = out / "bundle" / name
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        assert f"bundle/{name} is damaged" in command("verify", out).sentence
        path.unlink()
        assert f"bundle/{name} is missing" in command("verify", out).sentence
        path.write_bytes(data)
    refused = command("pack", damaged, "--wheelhouse", wheels, "-o", tmp_path / "other")
    assert f"{DAMAGED} is not the file that the manifest describes" in refused.sentence
    assert not (tmp_path / "other").exists()
    # Without the parts it is another bundle, and they go with the old one.
    plain = Path(__file__).parents[3] / "models" / "demo"
    assert command("pack", plain, "--wheelhouse", wheels, "-o", out, "--force").status == 0
    assert not [name for name in PARTS if (out / "bundle" / name).exists()]
    assert command("verify", out).status == 0


def test_pulled_from_a_hub_and_gone_on_with(hub: Hub, gguf_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    left = out / PARTIAL_FOLDER
    left.mkdir(parents=True)
    # As a process that was killed leaves it: one part whole, one to the half, one not begun.
    shutil.copy(gguf_bundle / "manifest.json", left)
    shutil.copy(gguf_bundle / "patch_embeddings.npy", left)
    data = (gguf_bundle / DAMAGED).read_bytes()
    (left / f"{DAMAGED}.partial").write_bytes(data[: len(data) // 2])
    hub.damaged["patch_encoder.gguf"] = 1
    fingerprint = load_manifest(gguf_bundle).fingerprint()
    status, said, sentence = run(
        hub, tmp_path, "pull", BUNDLE, "-o", out, "--json", "--fingerprint", fingerprint
    )
    assert status == 0, sentence
    assert json.loads(said)["fingerprint"] == fingerprint and same(out, gguf_bundle)
    assert hub.sent(DAMAGED) == len(data) - len(data) // 2
    assert hub.sent("patch_embeddings.npy") == 0
    assert hub.sent("patch_encoder.gguf") == 2 * (gguf_bundle / "patch_encoder.gguf").stat().st_size
    assert run(hub, tmp_path, "verify", out)[0] == 0


def test_pushed_to_a_hub(hub: Hub, gguf_bundle: Path, damaged: Path, tmp_path: Path) -> None:
    arguments = ("owner/new", "--json")
    status, _, sentence = run(hub, tmp_path, "push", damaged, *arguments, HF_TOKEN="hf_x")
    assert status == 1 and f"{DAMAGED} is not the file" in sentence
    assert "owner/new" not in hub.repos
    status, _, sentence = run(hub, tmp_path, "push", gguf_bundle, *arguments, HF_TOKEN="hf_x")
    assert status == 0, sentence
    assert same(hub.repos["owner/new"], gguf_bundle)
    assert run(hub, tmp_path, "pull", "owner/new", "-o", tmp_path / "out")[0] == 0
    assert same(tmp_path / "out", gguf_bundle)
    # A bundle without them takes their place, and they go.
    plain = Path(__file__).parents[3] / "models" / "demo"
    assert run(hub, tmp_path, "push", plain, *arguments, HF_TOKEN="hf_x")[0] == 0
    assert not [name for name in PARTS if (hub.repos["owner/new"] / name).exists()]


def test_over_a_folder(gguf_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    source = FolderSource(folder=gguf_bundle)
    pull(lambda: source, out)
    assert same(out, gguf_bundle)
    cut = Path(shutil.copytree(gguf_bundle, tmp_path / "cut"))
    (cut / DAMAGED).write_bytes((gguf_bundle / DAMAGED).read_bytes()[:-10])
    with pytest.raises(MimoEdgeError, match=rf"{DAMAGED} arrived damaged 3 times"):
        pull(lambda: FolderSource(folder=cut), tmp_path / "other")
    (cut / DAMAGED).unlink()
    with pytest.raises(MimoEdgeError, match=rf"{DAMAGED} cannot be read"):
        pull(lambda: FolderSource(folder=cut), tmp_path / "other")
