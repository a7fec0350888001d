"""The folder that a conversion fills: what it may replace, and what is there if it is stopped."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from convert.target import claim
from mimo_edge.bundle.files import load_manifest
from mimo_edge.bundle.manifest import BACKBONE_FILE, MANIFEST_FILE
from mimo_edge.bundle.replacement import COMPLETE_FOLDER, PARTIAL_FOLDER
from mimo_edge.errors import MimoEdgeError
from tests.convert.bundle_folders import fill, replace, snapshot, write_manifest


def refused(out: Path, pattern: str, *, force: bool = True) -> None:
    """The folder is refused in one sentence and stays as it is."""
    before = snapshot(out.parent)
    with pytest.raises(MimoEdgeError, match=pattern) as caught, claim(out, force=force):
        pass
    assert "\n" not in str(caught.value)
    assert snapshot(out.parent) == before


@pytest.mark.parametrize(
    "manifest",
    [
        '{"manifest_version": 3}',
        '{"schema_version": 1, "files": []}',
        '{"files": [{"name": "thesis.txt"}]}',
        "[]",
        "{",
        "",
        "[" * 100_000,
    ],
)
def test_a_folder_of_somebody_else(tmp_path: Path, manifest: str) -> None:
    out = tmp_path / "app"
    out.mkdir()
    (out / MANIFEST_FILE).write_text(manifest)
    refused(out, r"app exists and is no bundle; choose another folder\.$")
    (out / "thesis.txt").write_text("precious")
    refused(out, r"app exists and is no bundle; choose another folder\.$")


def test_a_manifest_that_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "app" / MANIFEST_FILE).mkdir(parents=True)
    refused(tmp_path / "app", "exists and is no bundle")


def test_a_thesis_in_a_bundle(tmp_path: Path) -> None:
    out = fill(tmp_path / "b")
    (out / "thesis.txt").write_text("precious")
    refused(out, r"holds thesis\.txt, which is not part of the bundle there; move it")
    (out / "thesis.txt").unlink()
    (out / "notes").mkdir()
    refused(out, "holds notes, which is not part of the bundle")
    (out / "notes").rmdir()
    (out / BACKBONE_FILE).unlink()
    (out / BACKBONE_FILE).mkdir()
    (out / BACKBONE_FILE / "thesis.txt").write_text("precious")
    refused(out, rf"holds {BACKBONE_FILE}, which is not part")


def test_an_edited_manifest_names_nothing_else(tmp_path: Path) -> None:
    """Only a manifest as it was written may say that a file of another name is the bundle's."""
    out = fill(tmp_path / "b")
    (out / "extra.onnx").write_text("x")

    def name_it(values: dict[str, Any]) -> None:
        values["files"].append({"name": "extra.onnx"})

    write_manifest(out, name_it, fits=False)
    refused(out, r"holds extra\.onnx, which is not part")
    write_manifest(out, name_it)
    replace(out, "new")
    assert load_manifest(out).name == "new"
    assert not (out / "extra.onnx").exists()


@pytest.mark.parametrize("damage", ["older", "newer", "edited", "cut off", "empty", "zeros"])
def test_bundles_of_other_versions_and_damaged_ones_are_replaced(
    tmp_path: Path, damage: str
) -> None:
    out = fill(tmp_path / "b")
    manifest = out / MANIFEST_FILE
    if damage in ("older", "newer"):
        write_manifest(out, lambda v: v.update(schema_version=1 if damage == "older" else 9))
    elif damage == "edited":
        write_manifest(out, lambda v: v["audio"].update(sample_rate=1), fits=False)
    else:
        size = {"cut off": 500, "empty": 0, "zeros": 0}[damage]
        manifest.write_bytes(manifest.read_bytes()[:size] + bytes(999 * (damage == "zeros")))
    refused(out, "is a bundle already; choose another folder, or have it replaced", force=False)
    replace(out, "new")
    assert load_manifest(out).name == "new"


def test_something_put_there_meanwhile_stays(tmp_path: Path) -> None:
    out = fill(tmp_path / "b")
    with (
        pytest.raises(MimoEdgeError, match=r"holds thesis\.txt"),
        claim(out, force=True) as target,
        target.working_folder() as work,
    ):
        fill(work, "new")
        (out / "thesis.txt").write_text("precious")
    assert (out / "thesis.txt").read_text() == "precious"
    assert load_manifest(out).name == "demo"
    assert not list(out.glob(".*"))


@pytest.mark.parametrize("folder", [PARTIAL_FOLDER, COMPLETE_FOLDER])
def test_leftovers_are_removed_and_nothing_else_in_them(tmp_path: Path, folder: str) -> None:
    left = tmp_path / "b" / folder
    left.mkdir(parents=True)
    for name in (BACKBONE_FILE, f"{BACKBONE_FILE}.source", "vocoder.onnx.data"):
        (left / name).write_text("half of it")
    (left / "thesis.txt").write_text("precious")
    refused(tmp_path / "b", r"thesis\.txt was not written by a conversion; move it")
    (left / "thesis.txt").unlink()
    replace(tmp_path / "b", "new")
    assert load_manifest(tmp_path / "b").name == "new"
    assert not list((tmp_path / "b").glob(".*"))


def test_a_bundle_made_to_harm_moves_nothing_of_others(tmp_path: Path) -> None:
    """Its folder of finished files is a link to somebody's bundle, or its names lead out of it."""
    mine, hostile = fill(tmp_path / "mine", "mine"), fill(tmp_path / "hostile", "hostile")
    (hostile / COMPLETE_FOLDER).symlink_to(mine)
    assert load_manifest(hostile).name == "hostile"
    assert load_manifest(mine).name == "mine"
    (hostile / COMPLETE_FOLDER).unlink()
    (hostile / COMPLETE_FOLDER).mkdir()
    (tmp_path / "thesis.txt").write_text("precious")
    names = ("../thesis.txt", "..", ".", "", "a\0b", "/etc/hostname", ".mimo-edge-lock")
    write_manifest(
        hostile / COMPLETE_FOLDER, lambda v: v.update(files=[{"name": name} for name in names])
    )
    assert load_manifest(hostile).name == "hostile"
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_folders_beside_the_target_are_nobody_s_business(tmp_path: Path) -> None:
    for name in (".b.partial", ".b.replaced"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.txt").write_text("precious")
    replace(tmp_path / "b", "one")
    replace(tmp_path / "b", "two")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".b.partial", ".b.replaced", "b"]
    assert (tmp_path / ".b.replaced" / "thesis.txt").read_text() == "precious"


def test_odd_names_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here" / "inner"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    inode = here.stat().st_ino
    replace(Path(), "dot")
    assert load_manifest(here).name == "dot"
    replace(Path(), "dot again")
    assert load_manifest(here).name == "dot again"
    assert here.stat().st_ino == inode == Path().stat().st_ino
    refused(Path(".."), "exists and is no bundle")
    with (
        pytest.raises(MimoEdgeError, match="exists and is no bundle"),
        claim(Path("/"), force=True),
    ):
        pass
    for name in ("x" * 255, "ü" * 122, "with space ", "-f", "[bold]", "a\nb"):
        replace(tmp_path / name, "odd")
        assert load_manifest(tmp_path / name).name == "odd"
        shutil.rmtree(tmp_path / name)
    refused(tmp_path / ("x" * 256), "cannot be written")
    refused(tmp_path / "a" / ("x" * 256), "cannot be written")
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_symbolic_links(tmp_path: Path) -> None:
    real, link = tmp_path / "disk" / "real", tmp_path / "link"
    real.mkdir(parents=True)
    link.symlink_to(real)
    for name in ("one", "two"):
        replace(link, name)
        assert load_manifest(real).name == name
        assert link.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "link"]
    assert [path.name for path in real.parent.iterdir()] == ["real"]
    shutil.rmtree(real)
    refused(link, r"link is a symbolic link that leads nowhere \(.*real\); make the folder")
    link.unlink()
    link.symlink_to(link)
    refused(link, "leads nowhere")
