"""Lists of hashes: what they may hold, and what is said of a folder that differs from its own."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from mimo_edge.bundle.hash_list import HASH_LIST, format_hashes, read_hashes
from mimo_edge.bundle.verification import check_verified, listed_hashes, verify_folder
from mimo_edge.errors import MimoEdgeError

DIGEST = "0" * 64


def packed(folder: Path) -> Path:
    """A folder with a list, as `mimo-edge pack` leaves one."""
    hashes = {}
    for name in ("start.sh", "bundle/backbone.gguf", "wheels/a name ä.whl"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        hashes[name] = hashlib.sha256(name.encode()).hexdigest()
    (folder / HASH_LIST).write_text(format_hashes(hashes), encoding="utf-8")
    return folder


def states(folder: Path) -> dict[str, str]:
    return {file.name: file.state for file in verify_folder(folder, listed_hashes(folder))}


def test_what_was_packed_is_whole(tmp_path: Path) -> None:
    folder = packed(tmp_path)
    assert set(states(folder).values()) == {"whole"} and len(states(folder)) == 3
    # What systems put onto a stick is nobody's damage.
    (folder / ".DS_Store").write_text("x")
    (folder / "wheels" / "._a.whl").write_text("x")
    (folder / "System Volume Information").mkdir()
    (folder / "System Volume Information" / "IndexerVolumeGuid").write_text("x")
    assert len(states(folder)) == 3


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs the program sha256sum")
def test_the_list_is_what_sha256sum_reads(tmp_path: Path) -> None:
    folder = packed(tmp_path)
    command = ["sha256sum", "--strict", "--quiet", "-c", HASH_LIST]
    assert subprocess.run(command, cwd=folder).returncode == 0


def test_each_kind_of_difference_is_named(tmp_path: Path) -> None:
    folder = packed(tmp_path)
    (folder / "bundle" / "backbone.gguf").write_text("other")
    (folder / "start.sh").unlink()
    (folder / "wheels" / "more.whl").write_text("x")
    (folder / "wheels" / "most.whl").write_text("x")
    found = list(verify_folder(folder, listed_hashes(folder)))
    assert {file.name: file.state for file in found} == {
        "start.sh": "missing",
        "bundle/backbone.gguf": "damaged",
        "wheels/a name ä.whl": "whole",
        "wheels/more.whl": "extra",
        "wheels/most.whl": "extra",
    }
    with pytest.raises(MimoEdgeError) as caught:
        check_verified(folder, found)
    sentence = str(caught.value)
    assert "bundle/backbone.gguf is damaged" in sentence and "start.sh is missing" in sentence
    assert "wheels/more.whl and 1 more are not in the list" in sentence
    assert sentence.endswith("copy it again.") and "\n" not in sentence


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    folder = packed(tmp_path)
    (folder / "start.sh").unlink()
    (folder / "start.sh").mkdir()
    assert states(folder)["start.sh"] == "missing"


def test_a_file_that_the_system_refuses_is_not_missing(tmp_path: Path) -> None:
    name = "m" * 300
    (state,) = verify_folder(tmp_path, {name: DIGEST})
    assert state.state == "unreadable"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        f"{DIGEST}  a",  # cut off
        f"{DIGEST[1:]}  a\n",
        f"{DIGEST.replace('0', 'G')}  a\n",
        f"{DIGEST}  \n",
        f"{DIGEST}  ../thesis.txt\n",
        f"{DIGEST}  /etc/hostname\n",
        f"{DIGEST}  wheels/./a\n",
        f"{DIGEST}  wheels//a\n",
        f"{DIGEST}  C:\\thesis.txt\n",
        f"{DIGEST}  a:stream\n",
        f"{DIGEST}  a\n{DIGEST}  a\n",
        f"{DIGEST}  a\x00b\n",
        "\udcff\n",
    ],
)
def test_a_list_that_is_none_or_leads_elsewhere(tmp_path: Path, text: str) -> None:
    (tmp_path / HASH_LIST).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(MimoEdgeError, match=r"SHA256SUMS is damaged .*pack it again\.$"):
        read_hashes(tmp_path)


def test_a_folder_without_a_list(tmp_path: Path) -> None:
    with pytest.raises(MimoEdgeError, match=r"holds neither manifest\.json nor SHA256SUMS"):
        listed_hashes(tmp_path)
    with pytest.raises(MimoEdgeError, match="is not a folder"):
        listed_hashes(tmp_path / "nothing")
