"""What quantization costs: the report, its table, and that a stopped run goes on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mimo_edge.measure.divergence import Distance
from training.quality.measuring import Guessed, Results
from training.quality.report import Row, Settings, read_report, write_report
from training.quality.table import markdown

ROOT = Path(__file__).parents[2]
SETTINGS = Settings(sentences=100, questions=50, answers=1, seed=1)


def row(label: str, wrong: int) -> Row:
    """100 sentences of four words, of which so many have one wrong word."""
    spoken = [(1 if number < wrong else 0, 4) for number in range(100)]
    return Row(
        label=label,
        fingerprint="f",
        settings=SETTINGS,
        megabytes=12.34,
        results=Results(
            heard=spoken,
            spoken=spoken,
            answered=[True] * 49 + [False],
            codes_equal=[1.0, 0.5],
            distances=[Distance(text=0.5, positions=10, codes=3.2, drawn=320)],
            guessed=[Guessed(same=True, accepted=5, readings=1)] * 3
            + [Guessed(same=False, accepted=3, readings=2)],
        ),
    )


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|\n").split("|")]


def test_the_table_says_how_sure_it_is() -> None:
    _, _, first, second = markdown([row("`reference`", 4), row("`small`", 24)]).splitlines()
    assert cells(first)[:4] == ["`reference`", "12.3", "1.0%", "98.0% (89.5 to 99.6)"]
    label, _, errors, _, misheard, more, equal, text, codes, same = cells(second)
    assert same == "3 of 4, 3.6 a reading"
    assert (label, errors, equal, text, codes) == ("`small`", "6.0%", "100 50", "0.0500", "0.0100")
    low, high = (float(end) for end in misheard.split("(")[1].rstrip(")").split(" to "))
    assert misheard.startswith("6.0%") and 3 < low < 5 and 7 < high < 9
    assert more.startswith("+5.0 (+") and cells(first)[5] == ""


def test_a_report_comes_back_as_it_was(tmp_path: Path) -> None:
    path, rows = tmp_path / "report.json", [row("`reference`", 4), row("`small`", 24)]
    assert read_report(path) == []
    write_report(path, rows)
    assert read_report(path) == rows


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("flite") is None, reason="needs flite, which speaks the exam")
def test_a_run_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    """Two runs give the same numbers, and what the report holds is not measured again."""

    def measured(report: Path) -> subprocess.CompletedProcess[str]:
        few = ("--sentences", "4", "--questions", "4", "--answers", "1", "--processes", "1")
        only = ("--recipe", "small")
        checkpoint = ROOT / "models" / "demo-checkpoint"
        return subprocess.run(
            [sys.executable, "-m", "training.quality", checkpoint, report, *few, *only],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=True,
        )

    done = measured(tmp_path / "one.json")
    assert "`reference` took" in done.stderr and "`small` took" in done.stderr
    report = read_report(tmp_path / "one.json")
    assert done.stdout == markdown(report)
    write_report(tmp_path / "one.json", report[:1])  # as if it had been stopped behind it
    again = measured(tmp_path / "one.json")
    assert "`reference` took" not in again.stderr and "`small` took" in again.stderr
    assert read_report(tmp_path / "one.json") == report
