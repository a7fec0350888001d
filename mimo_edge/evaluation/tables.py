"""Tables of benchmarks, in the formats in which they are published: JSON, JSON lines, CSV, Parquet.

Whatever a file lacks is one sentence with the name of the file and of the column.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import BadInputError, MissingPackageError

__all__ = ["StoredSound", "need_file", "need_folder", "read_json", "read_rows", "text_lines"]

_ENDINGS = (".jsonl", ".json", ".csv", ".parquet")


@dataclass(frozen=True)
class StoredSound:
    """A recording in a cell of a Parquet file, which is read when it is needed."""

    file: Path
    group: int
    """Which row group, the part of the file that is read at once."""
    row: int
    """Which row of it."""
    column: str

    def read(self) -> bytes:
        """The content of the sound file."""
        cell = _column_of_group(self.file, self.group, self.column)[self.row]
        data = cell.get("bytes") if isinstance(cell, dict) else None
        if not data:
            raise BadInputError(
                f"{self.file} has no sound in the column {self.column!r} of row "
                f"{self.row} of its part {self.group}; fetch the file again."
            )
        return bytes(data)


def read_rows(path: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a table, each of which has all of `columns`.

    A cell of a Parquet file that holds a sound is a `StoredSound`.

    Raises:
        MimoEdgeError: the file cannot be read, or a row lacks a column.
    """
    readers = {".jsonl": _json_lines, ".json": _json_rows, ".csv": _csv_rows}
    read = readers.get(path.suffix, _parquet_rows)
    if path.suffix not in _ENDINGS:
        raise BadInputError(f"{path} is no table; give one of {', '.join(_ENDINGS)}.")
    try:
        rows = list(read(path))
    except (OSError, ValueError) as error:  # JSON and Unicode errors are ValueErrors
        raise BadInputError(f"{path} cannot be read ({error}); fetch it again.") from error
    for number, row in enumerate(rows, start=1):
        missing = [column for column in columns if column not in row]
        if missing:
            raise BadInputError(
                f"row {number} of {path} has no {missing[0]!r}, only {', '.join(map(str, row))}; "
                f"expected are the columns {', '.join(columns)}."
            )
    if not rows:
        raise BadInputError(f"{path} holds no rows; fetch it again.")
    return rows


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        MimoEdgeError: it cannot be read.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BadInputError(f"{path} cannot be read ({error}); fetch it again.") from error


def text_lines(path: Path) -> list[str]:
    """The lines of a text file that hold something.

    Raises:
        MimoEdgeError: it cannot be read, or has none.
    """
    try:
        lines = [line for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise BadInputError(f"{path} cannot be read ({error}); fetch it again.") from error
    if not lines:
        raise BadInputError(f"{path} holds no lines; fetch it again.")
    return lines


def need_folder(data: Path, *names: str, holds: str) -> Path:
    """The folder of a benchmark: one of `names` in `data`, or `data` itself if `holds` is in it.

    Raises:
        MimoEdgeError: it is not there; says what was expected.
    """
    if not data.is_dir():
        raise BadInputError(f"there is no folder {data}; give the one that holds the data.")
    for folder in (*(data / name for name in names), data):
        if any(folder.glob(holds)):
            return folder
    raise BadInputError(
        f"{data} holds no {names[0]}: expected is {data / names[0] / holds}; give the folder that "
        "holds the published data."
    )


def need_file(path: Path, where: str) -> Path:
    """The file, if it is there.

    Raises:
        MimoEdgeError: it is not; `where` says what asked for it.
    """
    if not path.is_file():
        raise BadInputError(f"{where} names {path}, which is not there; fetch the data again.")
    return path


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text("utf-8").splitlines():
        if line.strip():
            yield _object(json.loads(line))


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    rows = json.loads(path.read_text("utf-8"))
    if not isinstance(rows, list):
        raise ValueError("it holds no list of rows")
    yield from map(_object, rows)


def _object(row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise ValueError(f"a row is {str(row)[:40]!r}, not an object with names")
    return row


def _csv_rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    table = _parquet(path)
    sounds = [name for name in table.schema_arrow.names if _is_sound(table, name)]
    others = [name for name in table.schema_arrow.names if name not in sounds]
    for group in range(table.num_row_groups):
        rows = table.read_row_group(group, columns=others).to_pylist()
        for number, row in enumerate(rows):
            stored = {name: StoredSound(path, group, number, name) for name in sounds}
            yield {**row, **stored}


def _is_sound(table: Any, name: str) -> bool:
    """Whether a column holds sound files: pairs of bytes and path, as `datasets` writes them."""
    kind = table.schema_arrow.field(name).type
    return str(kind).startswith("struct<") and "bytes" in {field.name for field in kind}


@lru_cache(maxsize=4)
def _column_of_group(path: Path, group: int, column: str) -> list[Any]:
    """One column of a row group; the last ones are kept, since items come in their order."""
    values: list[Any] = _parquet(path).read_row_group(group, columns=[column])[column].to_pylist()
    return values


def _parquet(path: Path) -> Any:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise MissingPackageError(
            f"{path} needs pyarrow; install it with `pip install 'mimo-edge[eval]'`."
        ) from error
    try:
        return parquet.ParquetFile(path)
    except ArrowException as error:
        raise BadInputError(f"{path} cannot be read ({error}); fetch it again.") from error
