"""A list of the files of a folder and their hashes, in the format of the program `sha256sum`.

`sha256sum -c SHA256SUMS` (on macOS `shasum -a 256 -c SHA256SUMS`) checks a folder without this
program. The paths are relative to the folder, with `/` between their parts on every system.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ..errors import BadBundleError

__all__ = ["HASH_LIST", "format_hashes", "read_hashes"]

HASH_LIST = "SHA256SUMS"
"""Name of the list, at the top of the folder whose files it names."""

_LONGEST = 1 << 22
"""Bytes of a list; a packed folder's has some kilobytes."""
_LINE = re.compile(r"([0-9a-f]{64})(?:  | \*)(\S.*)")
_RESERVED = re.compile(r'[\x00-\x1f<>:"|?*\\]')
"""Characters that no file's name has on every system, drive letters and streams among them."""


def format_hashes(hashes: Mapping[str, str]) -> str:
    """The list as it is written: one line per file, sorted by path."""
    return "".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes))


def read_hashes(folder: Path) -> dict[str, str]:
    """Relative path → SHA-256 of every file that the folder's list names.

    Raises:
        BadBundleError: the list is damaged, or names a file outside of the folder.
        OSError: the system does not give it.
    """
    path = folder / HASH_LIST
    with path.open("rb") as stream:
        data = stream.read(_LONGEST + 1)
    try:
        if len(data) > _LONGEST:
            raise ValueError(f"it has more than {_LONGEST} bytes")
        if not data.endswith(b"\n"):
            raise ValueError("its last line has no end")
        return _parse(data.decode())
    except ValueError as error:
        raise BadBundleError(
            f"{path} is damaged ({error}); copy the folder again or pack it again."
        ) from error


def _parse(text: str) -> dict[str, str]:
    hashes: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"line {number} is no hash and name")
        name = match[2]
        # A list is not trusted: what it names is read, and replaced by the next packing.
        if any(part in ("", ".", "..") for part in name.split("/")) or _RESERVED.search(name):
            raise ValueError(f"line {number} names {name[:60]!r}, which is no file of the folder")
        if name in hashes:
            raise ValueError(f"line {number} names {name[:60]!r} again")
        hashes[name] = match[1]
    if not hashes:
        raise ValueError("it names no file")
    return hashes
