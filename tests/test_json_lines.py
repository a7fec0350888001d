"""Records as lines of JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mimo_edge.json_lines import JsonLines, json_line
from tests.tools.full_disk import largest_file


def test_characters_stand_for_themselves_where_they_can() -> None:
    record = {"text": "schön 听 😀"}
    assert json_line(record) == '{"text": "schön 听 😀"}'
    assert json_line(record, "cp1252").isascii()
    assert json.loads(json_line(record, "cp1252")) == record
    name = {"input": Path(os.fsdecode(b"caf\xe9.wav"))}
    assert json.loads(json_line(name)) == {"input": str(name["input"])}


def test_a_line_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with JsonLines(path, "new") as lines:
        lines.write({"turn": 1})
        with largest_file(2000), pytest.raises(OSError):
            lines.write({"turn": 2, "text": "x" * 4000})
        lines.write({"turn": 3})
    assert [json.loads(line)["turn"] for line in path.read_text().splitlines()] == [1, 3]
    with JsonLines(path, "append") as lines:
        lines.write({"turn": 4})
    assert path.read_text().count("\n") == 3
    with pytest.raises(FileExistsError):
        JsonLines(path, "new")
    with JsonLines(path, "replace") as lines:
        lines.write({})
    assert path.read_text() == "{}\n"
