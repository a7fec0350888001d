"""The wheel carries all that is needed to talk: code, contracts, the demo model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.tools.words import nearly

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_an_installed_wheel_answers(tmp_path: Path) -> None:
    """In an empty folder; what it depends on comes from this environment."""
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", str(ROOT)]
    subprocess.run([*build, "-w", str(tmp_path)], check=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.stat().st_size < 25e6
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    zipfile.ZipFile(wheel).extractall(site)
    question = ROOT / "tests" / "data" / "demo" / "sum.flac"
    command = [sys.executable, "-m", "mimo_edge.chat", "--input", str(question)]
    done = subprocess.run(
        [*command, "--seed", "1", "--json", "--output", "answers"],
        cwd=empty,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert nearly(json.loads(done.stdout)["text"], "seven plus five is twelve")
    assert (empty / "answers" / "answer-1.wav").stat().st_size > 10_000
    told = subprocess.run(
        [sys.executable, "-m", "mimo_edge", "info"],
        cwd=empty,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert told.returncode == 0, told.stderr
    assert "MiMo-Audio-Demo" in told.stdout and "for a second of dialogue" in told.stdout
    where = subprocess.run(
        [sys.executable, "-c", "import mimo_edge; print(mimo_edge.__file__)"],
        cwd=empty,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert where.startswith(str(site))  # not the checkout
