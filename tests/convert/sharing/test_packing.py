"""`mimo-edge pack`: what is in the folder, what it replaces, and what is there if it is stopped."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from convert.sharing.pack_folder import PACK
from convert.sharing.packing import pack
from convert.target import claim
from mimo_edge.bundle.hash_list import HASH_LIST
from mimo_edge.bundle.replacement import COMPLETE_FOLDER, PARTIAL_FOLDER
from mimo_edge.errors import MimoEdgeError
from tests.convert.bundle_folders import DEMO, fill, snapshot
from tests.convert.sharing.small_wheels import make_wheel, make_wheelhouse
from tests.tools.command_line import Command
from tests.tools.full_disk import largest_file


@pytest.fixture
def wheelhouse(tmp_path: Path) -> Path:
    return make_wheelhouse(tmp_path / "wheelhouse")


def test_what_is_packed_can_be_verified(command: Command, wheelhouse: Path, tmp_path: Path) -> None:
    out = tmp_path / "stick"
    done = command("pack", DEMO, "--wheelhouse", wheelhouse, "-o", out, "--json")
    assert done.status == 0, done.err
    assert json.loads(done.out)["files"] > 20
    assert {path.name for path in out.iterdir()} == {
        *("bundle", "wheels", "start.sh", "start.bat", "launch.py", "README.txt", HASH_LIST),
    }
    # The model card comes along, and a folder of wheels needs nothing else.
    assert (out / "bundle" / "README.md").read_bytes() == (DEMO / "README.md").read_bytes()
    text = (out / "README.txt").read_text()
    assert text.startswith("MiMo-Audio-Demo (default), packed by mimo_edge") and "{" not in text
    # Windows finds no label in a batch file with bare line feeds.
    batch = (out / "start.bat").read_bytes()
    assert batch.count(b"\r\n") == batch.count(b"\n") > 20
    assert command("verify", out).status == 0
    assert command("verify", out / "bundle").status == 0
    data = out / "bundle" / "backbone.gguf"
    data.write_bytes(data.read_bytes()[:-1] + b"?")
    assert "bundle/backbone.gguf is damaged" in command("verify", out).sentence
    (out / "wheels" / "numpy-1.0-py3-none-any.whl").unlink()
    assert "numpy-1.0-py3-none-any.whl is missing" in command("verify", out).sentence


def test_a_program_for_hashes_is_enough(wheelhouse: Path, tmp_path: Path) -> None:
    if shutil.which("sha256sum") is None:
        pytest.skip("needs the program sha256sum")
    pack(DEMO, [wheelhouse], tmp_path / "stick")
    done = subprocess.run(
        ["sha256sum", "-c", "--quiet", "--strict", HASH_LIST], cwd=tmp_path / "stick"
    )
    assert done.returncode == 0


def test_wheels_of_several_systems(wheelhouse: Path, tmp_path: Path) -> None:
    other = make_wheelhouse(tmp_path / "mac", tags="cp312-cp312-macosx_11_0_arm64")
    packed = pack(DEMO, [wheelhouse, other], tmp_path / "stick")
    names = {path.name for path in (tmp_path / "stick" / "wheels").iterdir()}
    assert "numpy-1.0-cp312-cp312-macosx_11_0_arm64.whl" in names
    assert "numpy-1.0-py3-none-any.whl" in names
    assert packed.systems == ["macOS arm64"] and packed.pythons == ["3.12"]


def test_what_is_missing_is_named(command: Command, wheelhouse: Path, tmp_path: Path) -> None:
    def refused(*arguments: object) -> str:
        return command("pack", *arguments, "-o", tmp_path / "stick").sentence

    assert "nothing is not a folder; give a folder of wheels" in refused(
        DEMO, "--wheelhouse", tmp_path / "nothing"
    )
    for path in wheelhouse.glob("onnxruntime-*"):
        path.unlink()
    assert "no wheel of onnxruntime; make a complete wheelhouse" in refused(
        DEMO, "--wheelhouse", wheelhouse
    )
    assert "is not a folder; give the folder of a bundle" in refused(
        tmp_path / "nothing", "--wheelhouse", wheelhouse
    )
    assert not (tmp_path / "stick").exists()


def test_a_damaged_bundle_is_not_packed(wheelhouse: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(DEMO, tmp_path / "bundle"))
    data = bytearray((bundle / "backbone.gguf").read_bytes())
    data[len(data) // 2 + 10_000] ^= 1  # where the quick check at loading does not look
    (bundle / "backbone.gguf").write_bytes(data)
    with pytest.raises(MimoEdgeError, match=r"backbone\.gguf has another hash"):
        pack(bundle, [wheelhouse], tmp_path / "stick")
    assert not (tmp_path / "stick").exists()


def test_only_packed_folders_are_replaced(
    command: Command, wheelhouse: Path, tmp_path: Path
) -> None:
    out = tmp_path / "stick"
    arguments = ("pack", DEMO, "--wheelhouse", wheelhouse, "-o", out)
    out.mkdir()
    (out / "thesis.txt").write_text("precious")
    # A list of hashes alone makes no packed folder: others have one, too.
    (out / HASH_LIST).write_text(f"{'0' * 64}  thesis.txt\n")
    before = snapshot(out)
    assert "exists and is no packed folder" in command(*arguments, "--force").sentence
    assert snapshot(out) == before
    shutil.rmtree(out)

    assert command(*arguments).status == 0
    assert "is a packed folder already" in command(*arguments).sentence
    assert "(--force)" in command(*arguments).sentence
    (out / "wheels" / "thesis.txt").write_text("precious")
    assert "holds wheels/thesis.txt, which is not part" in command(*arguments, "--force").sentence
    (out / "wheels" / "thesis.txt").unlink()
    (out / "System Volume Information").mkdir()

    (wheelhouse / "numpy-1.0-py3-none-any.whl").unlink()
    make_wheel(wheelhouse, "numpy", "py2.py3-none-any")
    assert command(*arguments, "--force").status == 0
    names = [path.name for path in (out / "wheels").glob("numpy-*")]
    assert names == ["numpy-1.0-py2.py3-none-any.whl"]
    assert command("verify", out).status == 0
    bundle = fill(tmp_path / "bundle")
    assert "is no packed folder" in (
        command("pack", DEMO, "--wheelhouse", wheelhouse, "-o", bundle, "--force").sentence
    )


@pytest.mark.parametrize("force", [False, True])
def test_a_full_disk_leaves_what_was_there(wheelhouse: Path, tmp_path: Path, force: bool) -> None:
    out = tmp_path / "stick"
    if force:
        pack(DEMO, [wheelhouse], out)
    before = snapshot(tmp_path)
    with (
        pytest.raises(MimoEdgeError, match=r"takes no file of that size \(FAT32 ends at 4 GiB"),
        largest_file(1 << 20),
    ):
        pack(DEMO, [wheelhouse], out, force=force)
    assert snapshot(tmp_path) == before


def test_a_packing_that_was_killed_in_the_middle_is_finished_by_the_next(
    wheelhouse: Path, tmp_path: Path
) -> None:
    out, other = tmp_path / "stick", tmp_path / "other"
    pack(DEMO, [wheelhouse], out)
    make_wheel(wheelhouse, "more")
    pack(DEMO, [wheelhouse], other)
    # Killed while the files moved up: one of the new ones is in its place.
    complete = out / COMPLETE_FOLDER
    shutil.copytree(other, complete)
    (complete / "wheels" / "more-1.0-py3-none-any.whl").replace(
        out / "wheels" / "more-1.0-py3-none-any.whl"
    )
    with claim(out, force=True, kind=PACK):
        pass
    assert snapshot(out) == snapshot(other)
    # The same in a folder that held nothing before.
    new = tmp_path / "new"
    shutil.copytree(other, new / COMPLETE_FOLDER)
    for name in ("start.sh", "launch.py"):
        (new / COMPLETE_FOLDER / name).replace(new / name)
    with claim(new, force=True, kind=PACK):
        pass
    assert snapshot(new) == snapshot(other)
    # Killed while it wrote: that is removed, but not what somebody else put there.
    (out / PARTIAL_FOLDER / "wheels").mkdir(parents=True)
    with claim(out, force=True, kind=PACK):
        pass
    assert snapshot(out) == snapshot(other)
    (out / PARTIAL_FOLDER).mkdir()
    (out / PARTIAL_FOLDER / "thesis.txt").write_text("precious")
    with (
        pytest.raises(MimoEdgeError, match="was not written by a packing; move it"),
        claim(out, force=True, kind=PACK),
    ):
        pass
