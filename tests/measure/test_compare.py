"""What a recipe costs in whole answers: expected words and codes, transcripts, speech."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.tools.command_line import Command
from tests.tools.exact_demo import exact_demo

ROOT = Path(__file__).parents[2]
ROUNDED = ROOT / "models" / "demo"
SPOKEN = ROOT / "tests" / "data" / "demo"


@pytest.fixture
def reference() -> Path:
    """The demo model in float32."""
    return exact_demo()


def test_whole_answers_are_compared(reference: Path, command: Command, tmp_path: Path) -> None:
    """The reference against itself shows what is not the recipe's fault: a cache in half precision
    (next to nothing), and what it mishears of its own speech."""
    for name in ("sum", "words", "count"):
        shutil.copy(SPOKEN / f"{name}.flac", tmp_path)
    done = command(
        *("compare", reference, ROUNDED, "--reference", reference),
        *("--audio", tmp_path, "--json"),
    )
    assert done.status == 0, done.err
    exact, rounded = (json.loads(line)["answers"] for line in done.out.splitlines())
    assert exact["text_divergence"] < 1e-4 and exact["code_divergence"] < 1e-3
    assert exact["text_divergence"] < rounded["text_divergence"] < 0.1
    assert 5 * exact["code_divergence"] < rounded["code_divergence"] < 1
    assert exact["transcripts"] == 0 and rounded["transcripts"] < 0.2
    assert exact["words"] == rounded["words"] == 14  # of the three transcripts, which are spoken
    assert exact["speech"] < 0.4 and rounded["speech"] < 0.4


def test_a_table_has_the_columns_that_were_measured(reference: Path, command: Command) -> None:
    run = ("compare", ROUNDED, "--reference", reference)
    clip = ("--audio", SPOKEN / "sum.flac")
    assert "text KL" in command(*run, *clip).out
    assert "text KL" not in command(*run, *clip, "--stages-only").out


def test_a_folder_without_recordings_is_one_sentence(
    reference: Path, command: Command, tmp_path: Path
) -> None:
    run = ("compare", ROUNDED, "--reference", reference)
    assert "holds no recordings" in command(*run, "--audio", tmp_path).sentence
