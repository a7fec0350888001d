"""Reading the keys of a `config.json` whose author is not trusted.

The schemas (`configs.py`) hold the ranges, as pydantic's bounds; here are the spellings that a
schema cannot express, and the one sentence that a person reads when a value is out of place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from mimo_edge.bundle.untrusted_json import shown
from mimo_edge.errors import BadBundleError

__all__ = ["ConfigKeys"]

_T = TypeVar("_T")

_NOT_OURS = "this is not a MiMo-Audio checkpoint"
_RESTORE = "restore the checkpoint's own config.json"
_KINDS = {
    "int_type": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "finite_number": "a finite number",
    "tuple_type": "a list",
}
"""pydantic's error → what the value should have been."""
_LIMITS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}


@dataclass(frozen=True, kw_only=True)
class ConfigKeys:
    """The keys of one config; a key that is null counts as missing, as upstream."""

    raw: Mapping[str, Any]
    path: Path
    """Of the file, for the sentences."""

    def fail(self, key: str, why: str) -> BadBundleError:
        """An error that names the file and the key."""
        return BadBundleError(f"{self.path}: {key!r} {why}")

    def build(self, schema: type[_T], changes: Mapping[str, Any]) -> _T:
        """The schema's dataclass from the keys that it names, `changes` before those of the file.

        Raises:
            MimoEdgeError: a key is missing, of the wrong type or out of its range.
        """
        values = {key: value for key, value in {**self.raw, **changes}.items() if value is not None}
        config: _T = self._validate(schema, values, ())
        return config

    def value(self, key: str, kind: Any) -> Any:
        """One key by itself; `kind` is a type with pydantic's bounds.

        Raises:
            MimoEdgeError: as `build`.
        """
        if self.raw.get(key) is None:
            raise self.fail(key, f"is missing: {_NOT_OURS}.")
        return self._validate(kind, self.raw[key], (key,))

    def choice(self, key: str, supported: Any) -> None:
        """Refuse any value but the supported one; a missing key stands for it."""
        value = self.raw.get(key)
        if value is not None and (type(value) is not type(supported) or value != supported):
            raise self.fail(key, f"is {shown(value)}; only {supported!r} is supported.")

    def dash_list(self, key: str, length: int) -> tuple[int, ...]:
        """`"0-1-2"`, or one number for all `length` channels."""
        value = self.raw.get(key)
        if value is None:
            raise self.fail(key, f"is missing: {_NOT_OURS}.")
        parts = [part.strip() for part in str(value).split("-")]
        if isinstance(value, bool) or not all(part.isascii() and part.isdigit() for part in parts):
            raise self.fail(key, f"is {shown(value)}, not numbers joined by dashes; {_RESTORE}.")
        if len(parts) == 1:
            parts *= length
        if len(parts) != length:
            raise self.fail(
                key,
                f"has {len(parts)} entries ({shown(value)}) but audio_channels is {length}.",
            )
        # A number too long to be one is as far out of every range as a number can be.
        return tuple(int(part) if len(part) < 20 else 10**20 for part in parts)

    def window(self, key: str) -> tuple[Any, ...] | None:
        """`[left, right]` as a tuple."""
        value = self.raw.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != 2:
            raise self.fail(key, f"is {shown(value)}, not two numbers of at least -1; {_RESTORE}.")
        return tuple(value)

    def rope_theta(self) -> Any:
        """The base of the rotary embedding, or None, and that nothing else is to be done to it.

        transformers 4 writes `rope_theta` and a `rope_scaling`, transformers 5 writes both into
        `rope_parameters`. Of either, the type `default` means no scaling at all.

        Raises:
            MimoEdgeError: the positions are scaled, or only a part of each head is rotated.
        """
        theta, where = self.raw.get("rope_theta"), "rope_theta"
        for key in ("rope_scaling", "rope_parameters"):
            entries = self.raw.get(key)
            if entries is None:
                continue
            if not isinstance(entries, dict):
                raise self.fail(key, f"is {shown(entries)}, not a JSON object; {_RESTORE}.")
            kind = entries.get("rope_type", entries.get("type"))
            nested = [name for name, value in entries.items() if isinstance(value, dict)]
            if kind not in (None, "default") or nested:
                raise self.fail(
                    key,
                    f"is {shown(entries)}; only the type 'default', the same for all layers, "
                    "is supported.",
                )
            inner = entries.get("rope_theta")
            if inner is not None and theta is not None and inner != theta:
                raise self.fail(
                    key,
                    f"has the rope_theta {shown(inner)} and {where!r} says {shown(theta)}; "
                    f"{_RESTORE}.",
                )
            theta, where = (theta, where) if inner is None else (inner, key)
            self._whole_heads(key, entries)
        self._whole_heads("partial_rotary_factor", self.raw)
        return theta

    def _whole_heads(self, key: str, entries: Mapping[str, Any]) -> None:
        factor = entries.get("partial_rotary_factor")
        if factor is not None and factor != 1:
            raise self.fail(
                key, f"rotates a part of each head ({shown(factor)}); only all of it is supported."
            )

    def _validate(self, kind: Any, values: Any, where: Sequence[str]) -> Any:
        try:
            return TypeAdapter(kind).validate_python(values)
        except ValidationError as error:
            details = error.errors(include_url=False)[0]
            loc = (*where, *details["loc"])
            raise self.fail(str(loc[0]), _complaint(details, len(loc) > 1)) from error


def _complaint(details: ErrorDetails, inside: bool) -> str:
    kind, value = details["type"], shown(details["input"])
    verb = "has" if inside else "is"
    if kind == "missing":
        return f"is missing: {_NOT_OURS}."
    if kind in _LIMITS:
        name, words = _LIMITS[kind]
        limit = details["ctx"][name]
        number = f"{limit:g}" if isinstance(limit, float) else limit
        return f"{verb} {value}, and must be {words} {number}; {_RESTORE}."
    wanted = _KINDS.get(kind)
    if wanted:
        return f"{verb} {value}, not {wanted}; {_RESTORE}."
    return f"{verb} {value}: {details['msg']}; {_RESTORE}."
