"""A bundle appears whole or not at all, whatever stops the conversion."""

from __future__ import annotations

import errno
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest

from convert import bundle as bundle_module
from convert.checkpoints.checkpoint import Checkpoint
from convert.memory import look_at_memory
from mimo_edge.bundle.documents import CARD
from mimo_edge.bundle.files import file_sha256, load_manifest
from mimo_edge.bundle.manifest import MANIFEST_FILE, Manifest
from mimo_edge.errors import MimoEdgeError
from mimo_edge.model import MimoAudio
from mimo_edge.stages.machine.runtime_options import RuntimeOptions
from tests.tools.bundles import convert_checkpoint
from tests.tools.safetensors_files import AUDIO_TOKENIZER, LANGUAGE_MODEL

ROOT = Path(__file__).parents[2]
OPTIONS = RuntimeOptions(threads=1, context=128, device="cpu")
FULL = r"the disk of .* is full; free some and run the same|No space left.*; make room"
"""While a graph is written, and while the backbone is."""
STAGES = (
    "writing audio_encoder",
    "hearing speech",
    "writing the backbone",
    "measuring the backbone",
    "quantizing the backbone",
    "listening",
    "calibrating patch_decoder",
    "writing patch_decoder",
    "hashing",
)

STOP_AT = """
import sys, time
from pathlib import Path
from typing import Any
from tests.tools.bundles import convert_checkpoint
model, tokenizer, out, wanted = sys.argv[1:]
def wait(stage="verifying", done=1, total=1):
    if stage == wanted and done:
        print("there", flush=True)
        time.sleep(600)
convert_checkpoint(Path(model), Path(tokenizer), Path(out), "default",
                   progress=wait, force=True, verify=lambda folder, manifest: wait())
"""


class StopHereError(Exception):
    """Any exception that nobody expects."""


def make(out: Path, recipe: str = "default", **options: Any) -> Path:
    return convert_checkpoint(LANGUAGE_MODEL, AUDIO_TOKENIZER, out, recipe, **options)


def runs(bundle: Path) -> bool:
    """Load it and generate a few positions."""
    with MimoAudio.load(bundle, OPTIONS) as model:
        answer = model.speak("Hello.")
        return answer.stats.prompt_positions > 0


def contents(folder: Path) -> dict[str, str]:
    """Name → hash of the files that are not hidden."""
    return {p.name: file_sha256(p) for p in folder.iterdir() if not p.name.startswith(".")}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that tests must copy before they touch it."""
    return make(tmp_path_factory.mktemp("made") / "b")


def test_an_existing_bundle_stays_without_force(made: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(made, tmp_path / "b"))
    before = contents(out)
    with pytest.raises(
        MimoEdgeError, match=r"is a bundle already; choose another folder, or have it replaced\.$"
    ):
        make(out, "reference")
    assert contents(out) == before
    make(out, "reference", force=True)
    assert load_manifest(out).recipe == "reference"
    assert runs(out)
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("force", [False, True])
def test_what_is_no_bundle_is_never_touched(tmp_path: Path, force: bool) -> None:
    folder, file = tmp_path / "photos", tmp_path / "notes"
    folder.mkdir()
    (folder / "holiday.jpg").write_bytes(b"irreplaceable")
    file.write_bytes(b"too")
    for out in (folder, file):
        with pytest.raises(
            MimoEdgeError, match=r"exists and is no bundle; choose another folder\.$"
        ):
            make(out, force=force)
    assert contents(folder).keys() == {"holiday.jpg"}
    assert file.read_bytes() == b"too"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes", "photos"]


def test_empty_and_missing_folders_are_filled(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "empty", tmp_path / "not" / "there" / "yet"):
        assert runs(make(out))
        assert list(out.parent.glob(".*")) == []


@pytest.mark.parametrize(
    ("stage", "error"),
    [*((stage, KeyboardInterrupt) for stage in STAGES), ("hashing", StopHereError)],
)
def test_stopped_at_any_stage(
    made: Path, tmp_path: Path, stage: str, error: type[BaseException]
) -> None:
    old = Path(shutil.copytree(made, tmp_path / "old"))
    before = contents(old)

    def stop(found: str, done: int, total: int) -> None:
        if found == stage and done:
            raise error

    for out in (tmp_path / "new", old):
        with pytest.raises(error):
            make(out, force=True, progress=stop)
    assert list(tmp_path.iterdir()) == [old]
    assert contents(old) == before


def test_a_bundle_that_fails_its_check_gets_no_name(tmp_path: Path) -> None:
    seen: list[set[str]] = []

    def refuse(folder: Path, manifest: Manifest) -> None:
        seen.append({path.name for path in folder.iterdir()})
        assert {file.name for file in manifest.files} <= seen[-1]
        raise MimoEdgeError("it says nothing.")

    with pytest.raises(MimoEdgeError, match="it says nothing"):
        make(tmp_path / "b", verify=refuse)
    assert MANIFEST_FILE not in seen[0]
    assert not list(tmp_path.iterdir())
    assert runs(make(tmp_path / "b"))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL on Windows")
@pytest.mark.parametrize(
    "stage",
    [
        pytest.param("measuring the backbone", marks=pytest.mark.slow),
        pytest.param("quantizing the backbone", marks=pytest.mark.slow),
        pytest.param("calibrating patch_decoder", marks=pytest.mark.slow),
        "hashing",
        pytest.param("verifying", marks=pytest.mark.slow),
    ],
)
def test_killed_in_the_middle(made: Path, tmp_path: Path, stage: str) -> None:
    old = Path(shutil.copytree(made, tmp_path / "old"))
    before = contents(old)
    for out in (tmp_path / "new", old):
        arguments = [str(path) for path in (LANGUAGE_MODEL, AUDIO_TOKENIZER, out)]
        with subprocess.Popen(
            [sys.executable, "-c", STOP_AT, *arguments, stage],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None and process.stderr is not None
            there = process.stdout.readline()
            process.kill()
            assert there == "there\n", process.stderr.read()
    with pytest.raises(MimoEdgeError, match="is not a finished bundle"):
        MimoAudio.load(tmp_path / "new", OPTIONS)
    assert contents(old) == before
    assert runs(make(tmp_path / "new"))
    assert runs(make(old, force=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old"]
    assert not list(tmp_path.glob("*/.*"))


def test_too_little_room_is_told_before_the_first_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(total=10**9, used=10**9, free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    told: list[str] = []
    with pytest.raises(
        MimoEdgeError, match=r"has 1\.0 MB free and .* needs .*a copy of the backbone"
    ):
        make(tmp_path / "b", progress=lambda stage, done, total: told.append(stage))
    assert not told and not list(tmp_path.iterdir())


def test_short_memory_is_told_before_the_work(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for free, bundle, told in ((10**9, 6 * 10**9, True), (10**9, 10**6, False), (8e9, 6e9, False)):
        caplog.clear()
        memory = SimpleNamespace(available=free)
        monkeypatch.setattr(psutil, "virtual_memory", lambda memory=memory: memory)
        look_at_memory(int(bundle))
        assert ("only 1.0 GB of memory are free" in caplog.text) == told


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("cannot mount a small tmpfs here; that takes Linux and root")
    yield folder
    gc.collect()  # An error's traceback may hold a file open there, for longer since Python 3.13.
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("recipe", ["reference", "default"])
def test_the_disk_runs_full(small_disk: Path, recipe: str) -> None:
    """Somebody else fills the disk after the check: it is full at some byte in the middle."""
    filler = small_disk / "filler"

    def fill(*_: object) -> None:
        if not filler.exists():
            filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - (8 << 20)))

    with pytest.raises(MimoEdgeError, match=FULL):
        make(small_disk / "b", recipe, progress=fill)
    assert list(small_disk.iterdir()) == [filler]


@pytest.mark.parametrize("target", ["save_array", "graph"])
def test_a_full_disk_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if target == "save_array":
        monkeypatch.setattr(np, "save", full)
    else:
        monkeypatch.setattr(bundle_module, "build_graph", full)
    with pytest.raises(MimoEdgeError, match="is full; free some and run the same command again"):
        make(tmp_path / "b")
    assert not list(tmp_path.iterdir())


def test_too_little_memory_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing_left(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Checkpoint, "array", nothing_left)
    with pytest.raises(MimoEdgeError, match=r"not enough memory .* close other programs"):
        convert_checkpoint(LANGUAGE_MODEL, AUDIO_TOKENIZER, tmp_path / "bundle")
    assert not list(tmp_path.iterdir())


def test_a_folder_without_permission(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    with pytest.raises(MimoEdgeError, match="cannot be written"):
        make(blocked / "b")


def test_progress_reaches_its_end(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    make(tmp_path / "b", progress=lambda *step: told.append(step))
    for stage in dict.fromkeys(stage for stage, _, _ in told):
        steps = [(done, total) for found, done, total in told if found == stage]
        assert steps == sorted(steps), stage
        assert steps[-1][0] == steps[-1][1], stage


def test_the_manifest_lists_every_file(made: Path) -> None:
    manifest = load_manifest(made)
    listed = {file.name: (file.size, file.sha256) for file in manifest.files}
    found = {
        path.name: (path.stat().st_size, file_sha256(path))
        for path in made.iterdir()
        if path.name not in (MANIFEST_FILE, CARD)
    }
    assert listed == found
    source = {file.name: file.sha256 for file in manifest.source}
    weights = LANGUAGE_MODEL / "model.safetensors"
    assert source[f"{LANGUAGE_MODEL.name}/model.safetensors"] == file_sha256(weights)
    assert json.loads((made / MANIFEST_FILE).read_text("utf-8"))["recipe"] == "default"
