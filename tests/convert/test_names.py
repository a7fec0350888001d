"""Names of folders and models that are no text."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mimo_edge.bundle.files import load_manifest
from tests.golden.folder import Golden

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have only text")

LATIN_1 = os.fsdecode(b"caf\xe9")


def convert(model: Path, tokenizer: Path, *options: object) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "convert", "--threads", 1, "--model", model)
    return subprocess.run(
        [*map(str, command), "--tokenizer", str(tokenizer), *map(str, options)],
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_a_checkpoint_in_such_a_folder(golden: Golden, tmp_path: Path) -> None:
    """It is read; the bundle's name for the model is text."""
    model = tmp_path / LATIN_1
    shutil.copytree(golden.model, model)
    done = convert(model, golden.tokenizer, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert load_manifest(tmp_path / "out").name == "caf\N{REPLACEMENT CHARACTER}"


def test_a_bundle_in_such_a_folder(golden: Golden, tmp_path: Path) -> None:
    """Said before the work: onnxruntime could not open the graphs."""
    out = tmp_path / LATIN_1
    for options in (("--out", out), ("--out", tmp_path / "out", "--name", LATIN_1)):
        done = convert(golden.model, golden.tokenizer, *options)
        (line,) = done.stderr.splitlines()
        assert done.returncode == 1 and "byte that is not UTF-8" in line
    assert not list(tmp_path.iterdir())
    done = subprocess.run(
        [sys.executable, "-m", "mimo_edge", "info", out], capture_output=True, text=True
    )
    assert done.returncode == 1 and "rename the folder" in done.stderr
