"""Downloads from a hub: only what is needed, of the revision that was asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from convert.checkpoints.checkpoint import Checkpoint
from convert.checkpoints.origin import find_checkpoint
from mimo_edge.bundle.files import load_manifest
from mimo_edge.errors import MimoEdgeError
from tests.tools.full_disk import largest_file
from tests.tools.hub_client import (
    MODEL,
    ROOT,
    SHARD,
    download,
    environment,
    refusal,
    same_files,
)
from tests.tools.hub_server import COMMIT, Hub, hub_server
from tests.tools.safetensors_files import (
    AUDIO_TOKENIZER,
    LANGUAGE_MODEL,
)


def test_folders_are_used_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_checkpoint(str(tmp_path), kind="model").folder == tmp_path
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert find_checkpoint("~", kind="tokenizer").folder == tmp_path
    file = tmp_path / "model.safetensors"
    file.touch()
    with pytest.raises(MimoEdgeError, match="is a file; give the folder it is in"):
        find_checkpoint(str(file), kind="model")
    # Where nothing lies that some of the names could mean.
    (tmp_path / "within").mkdir()
    monkeypatch.chdir(tmp_path / "within")
    odd = ("m" * 300, "~nobody-of-this-name/b", "a/b\n", "a b/c", "a/[b]", "a/b@main", "\udce9/b")
    for name in (str(tmp_path / "nothing"), "nothing", "a/b/c", "", "../x", "-a/b", *odd):
        with pytest.raises(MimoEdgeError, match="neither a folder nor the id"):
            find_checkpoint(name, kind="model")


def test_only_the_needed_files_and_then_none(hub: Hub, tmp_path: Path) -> None:
    status, path = download(hub, tmp_path / "home")
    assert status == 0, path
    needed = {
        "README.md",
        "config.json",
        "merges.txt",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.json",
    }
    assert {entry.name for entry in Path(path).iterdir()} == hub.files() == needed
    assert Path(path).name == COMMIT
    served = hub.repos[MODEL]
    assert (Path(path) / SHARD).read_bytes() == (served / SHARD).read_bytes()
    assert Checkpoint.open(Path(path)).names() == ["a", "b"]
    assert not list((tmp_path / "home").rglob("*.incomplete"))
    hub.requests.clear()
    assert download(hub, tmp_path / "home") == (0, path)
    assert not hub.files()
    hub.requests.clear()
    assert download(hub, tmp_path / "home", HF_HUB_OFFLINE="1") == (0, path)
    assert not hub.requests


def test_the_audio_tokenizer_needs_no_text_tokenizer(hub: Hub, tmp_path: Path) -> None:
    status, path = download(hub, tmp_path / "home", kind="tokenizer")
    assert status == 0, path
    assert not {"tokenizer.json", "vocab.json", "merges.txt"} & hub.files()
    assert "config.json" in hub.files()


def test_revisions(hub: Hub, tmp_path: Path) -> None:
    home, other = tmp_path / "home", "f" * 40
    hub.commits["v1.1"] = other
    for revision in ("v1.1", other):
        status, path = download(hub, home, revision=revision)
        assert (status, Path(path).name) == (0, other), path
        assert same_files(hub, path)
    assert Path(download(hub, home)[1]).name == COMMIT
    text = refusal(hub, home, revision="v9")
    assert f"the model {MODEL} has no revision 'v9' on {hub.url}; give a branch" in text
    for odd in ("../../x", "a b", "-\n"):
        assert "is no revision of the model" in refusal(hub, home, revision=odd)
    with pytest.raises(MimoEdgeError, match="is a folder and has no revision 'v1'"):
        find_checkpoint(str(tmp_path), kind="model", revision="v1")


def test_repositories_that_cannot_be_had(hub: Hub, tmp_path: Path) -> None:
    home = tmp_path / "home"
    text = refusal(hub, home, model="owner/typo")
    assert text.startswith("the model owner/typo is neither a folder here nor a repository on")
    hub.refused[MODEL] = (403, "GatedRepo")
    assert "is gated; accept its terms" in refusal(hub, home)
    hub.refused[MODEL] = (401, "RepoNotFound")
    assert "set HF_TOKEN if it is private" in refusal(hub, home)
    assert "see that HF_TOKEN is valid" in refusal(hub, home, HF_TOKEN="hf_wrong")
    for status, remedy in (
        (401, "does not accept the token"),
        (403, "see that its terms are accepted"),
        (404, "does not have it (status 404)"),
        (500, "status 500; try again later"),
    ):
        hub.refused[MODEL] = (status, "Invalid credentials in Authorization header")
        assert remedy in refusal(hub, home), status


def test_folders_need_no_network(tmp_path: Path) -> None:
    """The whole conversion, in a process that may not open a socket."""
    script = """
import asyncio, socket, sys  # asyncio first: a class of its own derives from a socket's
def refuse(*args, **options):
    raise AssertionError("a socket")
socket.socket = socket.create_connection = socket.getaddrinfo = refuse
from convert.cli import convert_command
convert_command(sys.argv[1:], standalone_mode=False)
assert "huggingface_hub" not in sys.modules
"""
    folders = ["--model", LANGUAGE_MODEL, "--tokenizer", AUDIO_TOKENIZER, "--out", tmp_path / "b"]
    subprocess.run([sys.executable, "-c", script, *map(str, folders)], cwd=ROOT, check=True)
    assert {file.revision for file in load_manifest(tmp_path / "b").source} == {None}


def converted(hub: Hub, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """`convert` of the repositories owner/m and owner/t into `folder`/b."""
    options = ["--model", "owner/m", "--tokenizer", "owner/t", "--out", str(folder / "b"), *more]
    return subprocess.run(
        [sys.executable, "-m", "convert", *options],
        cwd=ROOT,
        env=environment(hub, folder / "home"),
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_bundle_says_which_revision_it_came_from(both: Hub, tmp_path: Path) -> None:
    both.commits |= {"v1": "1" * 40, "v2": "2" * 40}
    both.damaged = {"config.json": 1}
    done = converted(both, tmp_path, "--revision", "v1", "--tokenizer-revision", "v2")
    assert done.returncode == 0, done.stderr
    assert "MB for the download of the audio tokenizer" in done.stderr
    manifest = load_manifest(tmp_path / "b")
    assert manifest.name == "m"
    found = {(file.name.rpartition("/")[0], file.revision) for file in manifest.source}
    assert found == {("owner/m", "1" * 40), ("owner/t", "2" * 40)}
    shown = subprocess.run(
        [sys.executable, "-m", "mimo_edge", "info", tmp_path / "b"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"made from owner/m at {'1' * 40} and owner/t at {'2' * 40}\n" in shown


def test_room_for_everything_is_looked_at_before_a_download(both: Hub, tmp_path: Path) -> None:
    both.claims = {"model.safetensors": 10**15}
    done = converted(both, tmp_path)
    assert done.returncode == 1
    for part in ("download of the model", "of the audio tokenizer", "the bundle", "a copy of the"):
        assert part in done.stderr
    assert both.files() == {"config.json"}
    assert not (tmp_path / "b").exists()


def test_a_repository_that_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "README.md").write_text("nothing here")
    with hub_server({"owner/m": tmp_path / "m", "owner/t": AUDIO_TOKENIZER}) as hub:
        done = converted(hub, tmp_path)
    assert "owner/m has no config.json, so it is not a checkpoint; check the id." in done.stderr
    assert done.returncode == 1 and "Traceback" not in done.stderr


def test_no_room(hub: Hub, tmp_path: Path) -> None:
    with largest_file(1 << 19):
        text = refusal(hub, tmp_path / "home")
    assert "cannot be downloaded" in text and "File too large" in text
