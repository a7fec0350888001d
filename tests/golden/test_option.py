"""`--golden DIR` runs another folder: other checkpoint names, other arrays."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.conftest import DEFAULT_GOLDEN

from .folder import Golden

ROOT = Path(__file__).parents[2]
KEPT = ("codes/tiny", "patched/tiny", "hidden/text", "prompt/text")


def run_golden(folder: Path) -> str:
    command = [sys.executable, "-m", "pytest", "tests/golden", "--golden", str(folder), "-v"]
    chosen = "not test_option and not chunk and not exact and not streams"
    result = subprocess.run(
        [*command, "-k", chosen, "-p", "no:cacheprovider"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout + result.stderr


def copy_of(golden: Golden, folder: Path, **changes: np.ndarray) -> Path:
    """A golden folder with a few arrays, its checkpoints under other names."""
    shutil.copytree(golden.folder / "audio", folder / "audio")
    shutil.copytree(golden.model, folder / "checkpoint" / "b")
    shutil.copytree(golden.tokenizer, folder / "checkpoint" / "a")
    shutil.copyfile(golden.folder / "golden.json", folder / "golden.json")
    arrays: dict[str, Any] = {name: golden[name] for name in KEPT} | changes
    np.savez(folder / "golden.npz", **arrays)
    return folder


def test_another_folder(tmp_path: Path) -> None:
    golden = Golden.open(DEFAULT_GOLDEN)
    wrong = golden["codes/tiny"].copy()
    wrong[0, 0] ^= 1
    output = run_golden(copy_of(golden, tmp_path / "other", **{"codes/tiny": wrong}))
    assert "test_patched[tiny] PASSED" in output
    assert "test_hidden[onnx-text] PASSED" in output and "test_hidden[gguf-text] PASSED" in output
    assert "test_codes[tiny] FAILED" in output
    assert "test_greedy[onnx-text]" not in output
    assert "holds no stream/offline" in output


def test_a_folder_without_golden_numbers(tmp_path: Path) -> None:
    output = run_golden(tmp_path)
    assert "golden.npz" in output
    assert "Traceback" not in output
