"""Bundles over a hub and over folders: hashes, going on after a stop, licence and model card."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from convert.sharing.pulling import pull
from convert.sharing.sources import FolderSource
from mimo_edge.bundle.files import load_manifest
from mimo_edge.bundle.replacement import PARTIAL_FOLDER
from mimo_edge.errors import MimoEdgeError
from tests.convert.bundle_folders import DEMO, fill, snapshot
from tests.tools.full_disk import largest_file
from tests.tools.hub_client import environment
from tests.tools.hub_server import Hub, hub_server
from tests.tools.hub_uploads import NEW_COMMIT, Uploads

BUNDLE = "owner/demo"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    served = Path(shutil.copytree(DEMO, tmp_path / "served"))
    (served / "LICENSE").write_text("Do as you like.")
    (served / ".gitattributes").write_text("*.gguf filter=lfs")
    with hub_server({BUNDLE: served}) as hub:
        hub.uploads = Uploads(tmp_path)
        yield hub


def run(hub: Hub, home: Path, *arguments: object, **changes: str) -> tuple[int, str, str]:
    """Exit status, standard output and the last line of standard error of a command."""
    done = subprocess.run(
        [sys.executable, "-m", "mimo_edge", *map(str, arguments)],
        # Without Xet, the hub's other protocol, which the server of these tests does not speak.
        env=environment(hub, home, HF_HUB_DISABLE_XET="1", **changes),
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout, (done.stderr.strip().splitlines() or [""])[-1]


def same_as_demo(folder: Path) -> bool:
    return all((folder / p.name).read_bytes() == p.read_bytes() for p in DEMO.iterdir())


def test_a_bundle_comes_whole_with_licence_and_card(hub: Hub, tmp_path: Path) -> None:
    out = tmp_path / "out"
    status, said, _ = run(hub, tmp_path, "pull", BUNDLE, "-o", out, "--json")
    assert status == 0
    assert json.loads(said)["fingerprint"] == load_manifest(DEMO).fingerprint()
    assert same_as_demo(out) and (out / "LICENSE").read_text() == "Do as you like."
    assert not list(out.glob(".*"))
    # Again only on request; what the new one lacks goes with the old one.
    _, _, refused = run(hub, tmp_path, "pull", BUNDLE, "-o", out)
    assert "is a bundle already" in refused and "(--force)" in refused
    (hub.repos[BUNDLE] / "LICENSE").unlink()
    assert run(hub, tmp_path, "pull", BUNDLE, "-o", out, "--force")[0] == 0
    assert same_as_demo(out) and not (out / "LICENSE").exists()


def test_a_download_that_is_cut_off_goes_on(hub: Hub, tmp_path: Path) -> None:
    out = tmp_path / "out"
    hub.refused[BUNDLE] = (503, "")
    status, _, sentence = run(hub, tmp_path, "pull", BUNDLE, "-o", out)
    assert status == 1 and "status 503" in sentence
    assert not out.exists() or not list(out.iterdir())
    del hub.refused[BUNDLE]

    # As a process that was killed leaves it: half of a file, and a whole one.
    left = out / PARTIAL_FOLDER
    left.mkdir(parents=True)
    shutil.copy(DEMO / "manifest.json", left)
    data = (DEMO / "backbone.gguf").read_bytes()
    (left / "backbone.gguf.partial").write_bytes(data[:-1000])
    shutil.copy(DEMO / "vocoder.onnx.data", left)
    assert run(hub, tmp_path, "pull", BUNDLE, "-o", out)[0] == 0
    assert same_as_demo(out)
    assert hub.sent("backbone.gguf") == 1000 and hub.sent("vocoder.onnx.data") == 0


def test_an_address_that_was_signed_for_an_hour_ends_in_the_middle(
    hub: Hub, tmp_path: Path
) -> None:
    hub.ages, hub.drops_after = True, 100_000
    assert run(hub, tmp_path, "pull", BUNDLE, "-o", tmp_path / "out")[0] == 0
    assert same_as_demo(tmp_path / "out")
    size = sum(path.stat().st_size for path in DEMO.iterdir())
    assert sum(sent for _, _, sent in hub.requests) < size + 200_000  # that piece is sent twice


def test_a_hub_that_does_not_say_how_long_a_text_is(hub: Hub, tmp_path: Path) -> None:
    hub.chunked = True
    assert run(hub, tmp_path, "pull", BUNDLE, "-o", tmp_path / "out")[0] == 0
    assert same_as_demo(tmp_path / "out")


def test_what_is_left_of_another_bundle_is_not_gone_on_with(hub: Hub, tmp_path: Path) -> None:
    left = tmp_path / "out" / PARTIAL_FOLDER
    left.mkdir(parents=True)
    (left / "manifest.json").write_text("{}")
    (left / "backbone.gguf.partial").write_bytes(b"something else")
    (left / "vocoder.onnx.data").write_bytes(b"something else")
    (left / "NOTICE").write_text("something else")
    assert run(hub, tmp_path, "pull", BUNDLE, "-o", tmp_path / "out")[0] == 0
    assert same_as_demo(tmp_path / "out") and not (tmp_path / "out" / "NOTICE").exists()


def test_damage_on_the_way_and_at_the_hub(hub: Hub, tmp_path: Path) -> None:
    hub.damaged["backbone.gguf"] = 1
    assert run(hub, tmp_path, "pull", BUNDLE, "-o", tmp_path / "a")[0] == 0
    assert same_as_demo(tmp_path / "a")
    hub.damaged["backbone.gguf"] = 100
    status, _, sentence = run(hub, tmp_path, "pull", BUNDLE, "-o", tmp_path / "b")
    assert status == 1 and "backbone.gguf arrived damaged 3 times" in sentence
    with pytest.raises(MimoEdgeError, match=r"holds no manifest\.json"):
        load_manifest(tmp_path / "b")


def test_only_the_bundle_that_was_named(hub: Hub, tmp_path: Path) -> None:
    out, right = tmp_path / "out", load_manifest(DEMO).fingerprint()
    arguments = ("pull", BUNDLE, "-o", out, "--fingerprint")
    status, _, sentence = run(hub, tmp_path, *arguments, "0" * 64)
    assert status == 1 and f"has the fingerprint {right} and not the one" in sentence
    assert run(hub, tmp_path, *arguments, right)[0] == 0


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("nothing", "is neither a folder nor the id of a hub's repository (OWNER/NAME)"),
        ("owner/nothing", "is neither a folder here nor a repository on http://127.0.0.1"),
        ("owner/checkpoint", "has no manifest.json, so it is no bundle"),
    ],
)
def test_what_is_no_bundle(hub: Hub, tmp_path: Path, source: str, part: str) -> None:
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "config.json").write_text("{}")
    hub.repos["owner/checkpoint"] = tmp_path / "checkpoint"
    status, _, sentence = run(hub, tmp_path, "pull", source, "-o", tmp_path / "out")
    assert status == 1 and part in sentence, sentence
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_offline(hub: Hub, tmp_path: Path) -> None:
    arguments = ("pull", BUNDLE, "-o", tmp_path / "out")
    status, _, sentence = run(hub, tmp_path, *arguments, HF_HUB_OFFLINE="1")
    assert status == 1 and sentence.endswith("offline mode is on; unset HF_HUB_OFFLINE."), sentence


def test_pushed_and_pulled(hub: Hub, tmp_path: Path) -> None:
    assert hub.uploads is not None
    bundle = Path(shutil.copytree(DEMO, tmp_path / "bundle"))
    (bundle / "README.md").unlink()  # then one is written
    (bundle / "LICENSE").write_text("Ask first.")
    status, said, sentence = run(hub, tmp_path, "push", bundle, "owner/new", HF_TOKEN="hf_x")
    assert status == 0, sentence
    fingerprint = load_manifest(DEMO).fingerprint()
    assert NEW_COMMIT in said and f"pull owner/new -o FOLDER --fingerprint {fingerprint}" in said
    card = (hub.repos["owner/new"] / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: mimo_edge\n") and fingerprint in card

    out = tmp_path / "out"
    assert run(hub, tmp_path, "pull", "owner/new", "-o", out, "--fingerprint", fingerprint)[0] == 0
    assert (out / "LICENSE").read_text() == "Ask first." and (out / "README.md").exists()
    assert load_manifest(out).fingerprint() == fingerprint

    # The branch is made, and its files are found there again.
    branch = ("--revision", "next")
    assert run(hub, tmp_path, "push", bundle, "owner/new", *branch, HF_TOKEN="hf_x")[0] == 0
    assert "next" in hub.commits
    assert run(hub, tmp_path, "pull", "owner/new", "-o", tmp_path / "next", *branch)[0] == 0

    # What the hub has is not sent again, and what the bundle no longer has is deleted there.
    sent = len(hub.uploads.received)
    (bundle / "LICENSE").unlink()
    assert run(hub, tmp_path, "push", bundle, "owner/new", HF_TOKEN="hf_x")[0] == 0
    assert len(hub.uploads.received) == sent
    assert not (hub.repos["owner/new"] / "LICENSE").exists()


def test_what_cannot_be_pushed(hub: Hub, tmp_path: Path) -> None:
    assert hub.uploads is not None
    arguments = ("push", DEMO, "owner/new")
    hub.uploads.refused = 403
    status, _, sentence = run(hub, tmp_path, *arguments, HF_TOKEN="hf_x")
    assert status == 1 and "set HF_TOKEN to a token that may write" in sentence, sentence
    assert sentence.endswith("(it says: no room for more).")
    hub.uploads.refused = None
    card = Path(shutil.copytree(DEMO, tmp_path / "card"))
    (card / "README.md").write_text("---\nlicense: nonsense\n---\n")
    status, _, sentence = run(hub, tmp_path, "push", card, "owner/new", HF_TOKEN="hf_x")
    assert status == 1, sentence
    assert sentence.endswith('(- "license" must be one of them); mend them.'), sentence
    bundle = Path(shutil.copytree(DEMO, tmp_path / "bundle"))
    data = bytearray((bundle / "backbone.gguf").read_bytes())
    data[len(data) // 2 + 10_000] ^= 1
    (bundle / "backbone.gguf").write_bytes(data)
    status, _, sentence = run(hub, tmp_path, "push", bundle, "owner/new")
    assert status == 1 and "backbone.gguf has another hash" in sentence
    status, _, sentence = run(hub, tmp_path, "push", DEMO, tmp_path / "x", "--private")
    assert status == 1 and "is neither private nor has it branches" in sentence


def test_over_a_folder(hub: Hub, tmp_path: Path) -> None:
    share, out = tmp_path / "share", tmp_path / "out"
    assert run(hub, tmp_path, "push", DEMO, share)[0] == 0
    assert same_as_demo(share)
    assert run(hub, tmp_path, "pull", share, "-o", out)[0] == 0
    assert same_as_demo(out) and not hub.requests


def test_a_disk_that_gets_full_keeps_what_has_arrived(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(MimoEdgeError, match="takes no file of that size"), largest_file(1 << 22):
        pull(lambda: FolderSource(folder=DEMO), out)
    kept = snapshot(out / PARTIAL_FOLDER)
    assert any(name.endswith(".partial") for name in kept)
    pull(lambda: FolderSource(folder=DEMO), out)
    assert same_as_demo(out) and not list(out.glob(".*"))


def test_a_clone_without_its_large_files(tmp_path: Path) -> None:
    clone = Path(shutil.copytree(DEMO, tmp_path / "clone"))
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 9\n"
    (clone / "backbone.gguf").write_text(pointer)
    with pytest.raises(MimoEdgeError, match=r"only a pointer of Git LFS; run `git lfs pull` in"):
        load_manifest(clone)
    with pytest.raises(MimoEdgeError, match=r"backbone\.gguf is only a pointer of Git LFS there"):
        pull(lambda: FolderSource(folder=clone), tmp_path / "out")


def test_nothing_but_bundles_is_replaced(tmp_path: Path) -> None:
    out = fill(tmp_path / "out")
    (out / "README.md").write_text("the old one's")
    pull(lambda: FolderSource(folder=DEMO), out, force=True)
    assert same_as_demo(out)
    (out / "thesis.txt").write_text("precious")
    before = snapshot(out)
    with pytest.raises(MimoEdgeError, match=r"holds thesis\.txt, which is not part"):
        pull(lambda: FolderSource(folder=DEMO), out, force=True)
    assert snapshot(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
