"""A report: a JSON file with a row for every candidate, written anew after each one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mimo_edge.atomic import atomic_output
from mimo_edge.measure.divergence import Distance

from .measuring import Guessed, Results

__all__ = ["Row", "Settings", "read_report", "write_report"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a row was measured with."""

    sentences: int
    questions: int
    answers: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class Row:
    """One candidate's results, and what they are of."""

    label: str
    """As it stands in the table."""
    fingerprint: str
    """Of the bundle: a row of another one is measured again."""
    settings: Settings
    megabytes: float
    results: Results


def read_report(path: Path) -> list[Row]:
    """The rows of a report; none if there is no file."""
    if not path.exists():
        return []
    return [_row(entry) for entry in json.loads(path.read_text(encoding="utf-8"))]


def write_report(path: Path, rows: Sequence[Row]) -> None:
    """Write all rows, one a line."""
    lines = ",\n".join(json.dumps(asdict(row)) for row in rows)
    with atomic_output(path) as file:
        file.write(f"[{lines}]\n".encode())


def _row(entry: dict[str, Any]) -> Row:
    results = entry["results"]
    return Row(
        label=entry["label"],
        fingerprint=entry["fingerprint"],
        settings=Settings(**entry["settings"]),
        megabytes=entry["megabytes"],
        results=Results(
            heard=[tuple(pair) for pair in results["heard"]],
            spoken=[tuple(pair) for pair in results["spoken"]],
            answered=results["answered"],
            codes_equal=results["codes_equal"],
            distances=[Distance(**each) for each in results["distances"]],
            guessed=[Guessed(**each) for each in results.get("guessed", ())],
        ),
    )
