"""The results of one benchmark: a file with a line of JSON for each item.

The first line says of what they are.

Lines are added while items are done, whole or not at all, so that a run that was killed goes on:
half a line at the end is dropped. A second run that wants to write the same file is refused.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from ..atomic import output_errors
from ..errors import BadInputError
from ..json_lines import JsonLines
from ..one_writer import lock_beside, only_writer

__all__ = ["FORMAT", "Results", "ResultsFile", "difference", "read_results"]

FORMAT = 1
"""Version of the lines."""
_KEY = "mimo_edge_eval"
_NAMES = {
    "task": "benchmark",
    "data": "data",
    "bundle": "bundle",
    "options": "options",
}
"""What the first line says, and how it is called where two files differ."""


@dataclass(frozen=True)
class Results:
    """What a file of results holds."""

    path: Path
    head: Mapping[str, Any]
    """Benchmark, data, bundle and options."""
    lines: Mapping[str, Mapping[str, Any]]
    """Item → its line, the last one where there are several."""

    @property
    def task(self) -> str:
        """Name of the benchmark."""
        return str(self.head["task"])

    @property
    def label(self) -> str:
        """What was measured, for people: the bundle's name and recipe."""
        bundle = self.head["bundle"]
        return f"{bundle['name']} {bundle['recipe']}"

    def done(self) -> set[str]:
        """Items that need not be done again: those that failed are tried anew."""
        return {identity for identity, line in self.lines.items() if "error" not in line}


def read_results(path: Path) -> Results:
    """The results in a file.

    Raises:
        MimoEdgeError: it cannot be read, or holds something else.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(
            f"{path} cannot be read ({error}); give a file that `mimo-edge eval` wrote."
        ) from error
    whole = text[: text.rfind("\n") + 1].splitlines()
    try:
        records = [json.loads(line) for line in whole]
        head = records[0]
        if head[_KEY] != FORMAT:
            raise BadInputError(
                f"{path} has results of version {head[_KEY]}, and this program writes {FORMAT}; "
                "measure again into another file."
            )
        lines = {str(record["id"]): record for record in records[1:]}
    except (ValueError, LookupError, TypeError) as error:
        raise BadInputError(
            f"{path} holds no results of an evaluation; give a file that `mimo-edge eval` wrote."
        ) from error
    return Results(path, {key: head.get(key) for key in _NAMES}, lines)


class ResultsFile:
    """A file of results that grows; a context manager."""

    def __init__(self, path: Path, head: Mapping[str, Any]) -> None:
        """Open it, or begin it with `head`.

        Raises:
            MimoEdgeError: it holds results of something else, another run is at it, or it cannot be
                written.
        """
        self.path = path
        # As they come out of the file: tuples become lists, and so on.
        head = json.loads(json.dumps(head))
        with output_errors(path, "check the folder, its permissions and the free disk"):
            path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.ExitStack() as stack:
                refusal = (
                    f"{path} is being written by another run; wait until it has ended, or give "
                    "another folder."
                )
                stack.enter_context(only_writer(lock_beside(path), refusal))
                self.before = self._read(path, head)
                self._lines = stack.enter_context(JsonLines(path, "append"))
                if not path.stat().st_size:
                    self.add({_KEY: FORMAT, **head})
                self._open = stack.pop_all()

    @staticmethod
    def _read(path: Path, head: Mapping[str, Any]) -> Results:
        """What is there already, after half a line at the end was cut off."""
        if not path.exists() or not path.stat().st_size:
            return Results(path, head, {})
        data = path.read_bytes()
        end = data.rfind(b"\n") + 1
        if end < len(data):
            with path.open("r+b") as file:
                file.truncate(end)
        if not end:  # the very first line was cut off
            return Results(path, head, {})
        results = read_results(path)
        for key, name in _NAMES.items():
            if results.head[key] != head[key]:
                raise BadInputError(
                    f"{path} holds results of another {name}: "
                    f"{difference(results.head[key], head[key])}; give another folder."
                )
        return results

    def add(self, line: Mapping[str, Any]) -> None:
        """Add a line.

        Raises:
            MimoEdgeError: the disk is full; all lines before are still there.
        """
        with output_errors(self.path, "make room; the run goes on where it was"):
            self._lines.write(dict(line))

    def read(self) -> Results:
        """All that it holds now."""
        return read_results(self.path)

    def __enter__(self) -> ResultsFile:
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._open.close()


def difference(there: Any, now: Any) -> str:
    """The first thing that differs, in words."""
    if isinstance(there, dict) and isinstance(now, dict):
        for key in {**there, **now}:
            if there.get(key) != now.get(key):
                return f"{key} was {there.get(key)} and now is {now.get(key)}"
    return f"{there}, and now {now}"
