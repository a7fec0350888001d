"""Speech into files of any name and to standard output."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from tests.tools.command_line import QUICK, Command

SPEAK = (sys.executable, "-m", "mimo_edge", "speak", "Hello.", *QUICK, "--max-new-tokens", "40")


@pytest.fixture
def environment(default_bundle: Path) -> dict[str, str]:
    root = Path(__file__).parents[2]
    return {**os.environ, "PYTHONPATH": str(root), "MIMO_EDGE_MODEL": str(default_bundle)}


@pytest.mark.parametrize("form", ["wav", "flac", "ogg"])
def test_speech_for_the_next_program(
    environment: dict[str, str], tmp_path: Path, form: str
) -> None:
    """The sound alone is on standard output, the same as in a file; words go beside it."""
    chosen = () if form == "wav" else ("--format", form)
    path = tmp_path / "a.bin"
    piped = subprocess.run([*SPEAK, "-o", "-", *chosen], env=environment, capture_output=True)
    assert piped.returncode == 0, piped.stderr
    assert b"standard output: " in piped.stderr
    filed = subprocess.run([*SPEAK, "-o", path, "--format", form], env=environment)
    assert filed.returncode == 0
    (found, rate), (expected, _) = (soundfile.read(io.BytesIO(piped.stdout)), soundfile.read(path))
    assert len(found) and rate in (24_000, 48_000) and (found == expected).all()
    assert soundfile.info(path).format == form.upper()


def test_codes_to_standard_output(
    command: Command, environment: dict[str, str], clips: dict[str, Path], tmp_path: Path
) -> None:
    codes = tmp_path / "a.npz"
    assert command("encode", clips["short"], "-o", codes).status == 0
    decode = [sys.executable, "-m", "mimo_edge", "decode", str(codes), "-o", "-"]
    done = subprocess.run(decode, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert soundfile.info(io.BytesIO(done.stdout)).frames == 37 * 960


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_standard_output_that_is_full(environment: dict[str, str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*SPEAK, "-o", "-"], env=environment, stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode == 1 and b"standard output cannot be written" in done.stderr


def test_what_does_not_go_together(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said before the model is loaded."""
    base = ("speak", "Hello.", "--model", tmp_path / "missing")
    assert "--json both write to standard output" in command(*base, "-o", "-", "--json").sentence
    assert "--format flac is for a file" in command(*base, "--format", "flac").sentence
    assert command(*base, "-o", tmp_path / "a", "--format", "aiff").status == 2
    sentence = command(*base, "-o", tmp_path / "a").sentence
    assert "cannot tell the format" in sentence and "--format" in sentence
    assert "missing" in command(*base, "-o", tmp_path / "a", "--format", "wav").sentence
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert "that is a terminal" in command(*base, "-o", "-").sentence
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_named_like_an_option(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ("--format", "wav", *QUICK, "--max-new-tokens", 40)
    assert command("speak", "Hello.", "-o", "./-", *options).status == 0
    assert [path.name for path in tmp_path.iterdir()] == ["-"]
