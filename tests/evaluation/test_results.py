"""The file of results: a run that was killed goes on, and nothing foreign gets into it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mimo_edge.errors import MimoEdgeError
from mimo_edge.evaluation.results import ResultsFile, read_results

HEAD = {
    "task": "mmau",
    "data": {"items": 3, "hash": "ab"},
    "bundle": {"name": "m", "recipe": "q4"},
    "options": {"shots": 0, "seed": 0},
}


def write(path: Path, *lines: dict[str, Any]) -> None:
    with ResultsFile(path, HEAD) as file:
        for line in lines:
            file.add(line)


def test_half_a_line_at_the_end_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "mmau.jsonl"
    write(path, {"id": "1", "correct": True}, {"id": "2", "correct": False})
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])  # as a killed process leaves it
    with ResultsFile(path, HEAD) as file:
        assert file.before.done() == {"1"}
        file.add({"id": "2", "correct": False})
    assert path.read_bytes() == whole


def test_one_run_at_a_time_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "mmau.jsonl"
    with ResultsFile(path, HEAD) as file:
        file.add({"id": "1", "correct": True})
        before = path.read_bytes()
        with pytest.raises(MimoEdgeError, match="being written by another run"):
            ResultsFile(path, HEAD)
        assert path.read_bytes() == before
        file.add({"id": "2", "correct": True})
    write(path, {"id": "3", "correct": True})
    assert read_results(path).done() == {"1", "2", "3"}
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("kept", range(0, 60, 12))
def test_even_half_a_first_line(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "mmau.jsonl"
    write(path, {"id": "1", "correct": True})
    path.write_bytes(path.read_bytes()[:kept])
    write(path, {"id": "1", "correct": True})
    assert read_results(path).done() == {"1"}


def test_what_failed_is_tried_again_and_the_last_line_counts(tmp_path: Path) -> None:
    path = tmp_path / "mmau.jsonl"
    write(path, {"id": "1", "correct": False, "error": "silent"})
    assert not read_results(path).done()
    write(path, {"id": "1", "correct": True})
    found = read_results(path)
    assert found.done() == {"1"} and found.lines["1"]["correct"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"task": "mmar"}, "another benchmark: mmau, and now mmar"),
        ({"data": {"items": 4, "hash": "ab"}}, "another data: items was 3 and now is 4"),
        ({"bundle": {"name": "m", "recipe": "q8"}}, "another bundle: recipe was q4 and now is q8"),
        ({"options": {"shots": 5, "seed": 0}}, "another options: shots was 0 and now is 5"),
    ],
)
def test_results_of_something_else_are_refused(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    path = tmp_path / "mmau.jsonl"
    write(path)
    before = path.read_bytes()
    with pytest.raises(MimoEdgeError, match=said):
        ResultsFile(path, {**HEAD, **change})
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"{}\n", b"hello\n", b"[1]\n", b"\xff\xfe\n"])
def test_other_files_are_no_results(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    with pytest.raises(MimoEdgeError, match=r"x\.jsonl"):
        read_results(path)


def test_results_of_another_version_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"mimo_edge_eval": 99, **HEAD}) + "\n")
    with pytest.raises(MimoEdgeError, match="version 99"):
        read_results(path)
