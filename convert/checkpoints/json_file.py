"""The JSON files of a checkpoint, which anybody may have made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mimo_edge.bundle.untrusted_json import parse_json
from mimo_edge.errors import BadBundleError

__all__ = ["read_json", "read_small_file"]

_LARGEST = 32 << 20
"""Bytes; the largest of the released checkpoints', tokenizer.json, has 11 MB."""


def read_json(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        MimoEdgeError: it cannot be read, is too large, or is no JSON object.
    """
    try:
        value = parse_json(read_small_file(path))
    except ValueError as error:  # also UnicodeDecodeError
        raise BadBundleError(f"{path} is not valid JSON ({error}); download it again.") from error
    if not isinstance(value, dict):
        raise BadBundleError(f"{path} is not a JSON object; download it again.")
    return value


def read_small_file(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        MimoEdgeError: it cannot be read, or it is larger than any such file of a checkpoint.
    """
    try:
        size = path.stat().st_size
        if size <= _LARGEST:
            return path.read_bytes()
    except OSError as error:
        raise BadBundleError(f"{path} cannot be read ({error.strerror or error}).") from error
    raise BadBundleError(
        f"{path} has {size >> 20} MiB, more than any such file of a MiMo-Audio checkpoint; "
        "download it again."
    )
