"""What the commands say of bundles that somebody else made, and of what is no bundle at all."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from mimo_edge.bundle.files import load_manifest
from mimo_edge.bundle.manifest import BACKBONE_FILE, CHECKSUM_KEY, MANIFEST_FILE, checksum
from tests.tools.command_line import QUICK, Command


@pytest.fixture
def bundle(default_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(default_bundle, tmp_path / "bundle"))


def write_manifest(bundle: Path, **changes: Any) -> None:
    """With the checksum that belongs to it."""
    raw: dict[str, Any] = {**asdict(load_manifest(bundle)), **changes}
    raw = json.loads(json.dumps(raw))
    text = json.dumps({**raw, CHECKSUM_KEY: checksum(raw)})
    (bundle / MANIFEST_FILE).write_text(text, "utf-8")


def test_names_cannot_rule_the_terminal(command: Command, bundle: Path, tmp_path: Path) -> None:
    original = (bundle / MANIFEST_FILE).read_bytes()
    for changes in (
        {"name": "\x1b[2J\x1b]0;owned\x07"},
        {"name": "a\nfake line"},
        {"name": "\u202etxt.exe"},
        {"recipe": "\x9b31m"},
        {"precisions": {"backbone": "\x1b[31m"}},
    ):
        (bundle / MANIFEST_FILE).write_bytes(original)
        write_manifest(bundle, **changes)
        for arguments in (("info", bundle), ("text", "hello", "--model", bundle, *QUICK)):
            assert command(*arguments).sentence.isprintable()
    (bundle / MANIFEST_FILE).write_bytes(original)
    renamed = bundle.rename(tmp_path / "bun\x1b[31mdle")
    found = command("info", renamed)
    assert found.status == 0 and "\x1b" not in found.out


def test_brackets_in_names_are_no_markup(command: Command, bundle: Path) -> None:
    precisions = dict.fromkeys(load_manifest(bundle).precisions, "[/red]:heart:")
    write_manifest(bundle, name="[bold]x[/y]", precisions=precisions)
    found = command("info", bundle)
    assert found.status == 0
    assert "[bold]x[/y]" in found.out and "[/red]:heart:" in found.out


def test_files_that_hold_no_weights_of_a_checkpoint(command: Command, bundle: Path) -> None:
    files = [{**asdict(file), "parameters": 0} for file in load_manifest(bundle).files]
    write_manifest(bundle, files=files)
    assert command("info", bundle).status == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_places_that_are_no_bundle(command: Command, bundle: Path, tmp_path: Path) -> None:
    """Nothing waits for a writer, and nothing follows a loop."""
    fifo, loop = tmp_path / "fifo", tmp_path / "loop"
    os.mkfifo(fifo)
    loop.symlink_to(loop)
    places = [fifo, loop, tmp_path / "nowhere", Path("/dev/null"), Path("/proc/self/mem")]
    for place in (*places, tmp_path / ("m" * 300), bundle / MANIFEST_FILE):
        assert str(place) in command("info", place).sentence
    for name in (MANIFEST_FILE, BACKBONE_FILE, "vocoder.onnx", "hidden_downcast.npy"):
        path, kept = bundle / name, tmp_path / "kept"
        path.rename(kept)
        os.mkfifo(path)
        assert name in command("text", "hello", "--model", bundle, *QUICK).sentence
        path.unlink()
        path.symlink_to(path)
        assert name in command("text", "hello", "--model", bundle, *QUICK).sentence
        path.unlink()
        path.mkdir()
        assert name in command("text", "hello", "--model", bundle, *QUICK).sentence
        path.rmdir()
        kept.rename(path)


def test_a_bundle_of_links_works(command: Command, bundle: Path, tmp_path: Path) -> None:
    """As in the cache of a hub: the folder is full of links to files elsewhere."""
    linked = tmp_path / "linked"
    linked.mkdir()
    for path in bundle.iterdir():
        (linked / path.name).symlink_to(path)
    assert command("text", "hello", "--model", linked, *QUICK).status == 0
