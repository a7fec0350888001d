"""What Windows makes of names that other systems take as they are.

It writes `con.wav` to its console and `report.txt:1` into a hidden part of another file, drops the
dots and spaces at the end of a name, and finds nothing behind a long path: so nothing would be
where it was asked for. A path that begins with `\\\\?\\` is taken as it stands there, too.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path, PureWindowsPath

from .errors import BadInputError

__all__ = ["check_name", "length_fault"]

_DEVICES = frozenset(
    {
        *("CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"),
        *(f"{port}{number}" for port in ("COM", "LPT") for number in "123456789¹²³"),
    }
)
_FORBIDDEN = '<>:"|?*'
_LITERAL = "\\\\?\\"
_LONGEST_FOLDER = 247
"""Characters of a path; a file's may have 259."""


def check_name(path: Path) -> None:
    """Refuse what is to be written if Windows would write something else.

    The device NUL, as `-o NUL`, is what somebody means who names it.

    Raises:
        BadInputError: this is Windows, and it is no name of a file there.
    """
    if not _is_windows() or str(path).startswith(_LITERAL) or str(path).upper() == "NUL":
        return
    parsed = PureWindowsPath(path)
    for part in parsed.parts[bool(parsed.anchor) :]:
        if fault := _fault(part):
            raise BadInputError(
                f"{path} is no name for a file on Windows: {part!r} {fault}; give another one."
            )


def length_fault(path: str | os.PathLike[str]) -> str:
    """Why Windows may find nothing under this path, to be put behind what it says itself.

    Empty where that cannot be the reason.
    """
    if not _is_windows() or os.fspath(path).startswith(_LITERAL):
        return ""
    count = len(str(Path(path).absolute()))
    if count <= _LONGEST_FOLDER:
        return ""
    return (
        f": the path has {count} characters, and Windows takes 259, of a folder "
        f"{_LONGEST_FOLDER}, unless long paths are switched on"
    )


def _is_windows() -> bool:
    return sys.platform == "win32"


def _fault(part: str) -> str | None:
    """What is wrong with one name of a path."""
    if part == "..":
        return None
    if part.split(".")[0].rstrip(" ").upper() in _DEVICES:
        return "is a device there"
    if part.endswith((".", " ")):
        return "loses its last character there"
    wrong = [sign for sign in part if sign in _FORBIDDEN or ord(sign) < 32]
    return f"holds {wrong[0]!r}" if wrong else None
