"""JSON from files that anybody may have made, as values or as a `ValueError` that says why not."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NoReturn, TypeVar

from pydantic import TypeAdapter, ValidationError

__all__ = ["decode_text", "parse_json", "printable_name", "shown", "validate"]

_T = TypeVar("_T")
_LONGEST_VALUE = 60
"""Characters of a wrong value that a message repeats."""


def parse_json(data: bytes) -> Any:
    """The values of a JSON text in UTF-8, read strictly.

    Raises:
        ValueError: it is none: also if a key stands twice in an object, of which other programs
            see one or the other; if a number is NaN or infinite; if it is nested without end; if
            a text holds half of a surrogate pair, which no file and no other program takes.
    """
    try:
        values = json.loads(decode_text(data), object_pairs_hook=_object, parse_constant=_no_number)
        if b"\\u" in data:  # no other text can hold one
            json.dumps(values, ensure_ascii=False).encode("utf-8")
        return values
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except UnicodeEncodeError as error:
        raise ValueError("it holds half of a surrogate pair") from error


def decode_text(data: bytes) -> str:
    """A text in UTF-8; ValueError if it is none."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is no UTF-8") from error


def validate(kind: type[_T], values: Any) -> _T:
    """`values`, as JSON gave them, as an instance of a dataclass with strict pydantic fields.

    Raises:
        ValueError: names the first field that does not fit, its value, and what it should be.
    """
    try:
        # By way of JSON, whose strict mode takes lists for tuples.
        return TypeAdapter(kind).validate_json(json.dumps(values))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(printable_name(str(part)) for part in first["loc"]) or "it"
        if first["type"] in ("missing", "unexpected_keyword_argument"):
            raise ValueError(f"{where}: {first['msg']}") from error
        should = first["msg"].removeprefix("Value error, ").replace("Input should", "should")
        raise ValueError(f"{where} is {shown(first['input'])} and {should}") from error


def printable_name(name: str) -> str:
    """A name with U+FFFD for every character that a terminal obeys or does not show."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in name)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the key {shown(twice)} stands in it twice")
    return values


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def shown(value: Any) -> str:
    """A value for a message; `repr` escapes what a terminal would obey."""
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
