"""Whether a folder holds the files that its list of hashes names: nothing else, nothing damaged.

The list is a bundle's manifest, or the hash list of a folder that `mimo-edge pack` made.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import BadBundleError, BadInputError
from .documents import COMPANIONS
from .files import file_sha256, read_manifest
from .hash_list import HASH_LIST, read_hashes
from .manifest import MANIFEST_FILE

__all__ = [
    "FileState",
    "check_verified",
    "is_companion",
    "is_left_by_systems",
    "listed_hashes",
    "verify_folder",
]

_LEFT_BY_SYSTEMS = frozenset(
    {
        *(".DS_Store", ".Spotlight-V100", ".Trashes", ".fseventsd", ".TemporaryItems"),
        *("System Volume Information", "$RECYCLE.BIN", "Thumbs.db", "desktop.ini", "lost+found"),
    }
)
"""What systems put onto a disk by themselves when it is looked at."""


@dataclass(frozen=True, kw_only=True)
class FileState:
    """What was found of one file."""

    name: str
    """Its path in the folder, with `/` between the parts."""
    state: Literal["whole", "damaged", "missing", "unreadable", "extra"]
    """`extra`: it is there and the list does not name it."""
    size: int | None
    """Its bytes; None if it is not there, or not given by the system."""


def listed_hashes(folder: Path) -> dict[str, str]:
    """Path in the folder → SHA-256, as a packed folder's or a bundle's list states them.

    Raises:
        MimoEdgeError: the folder has no list, or a damaged one.
    """
    try:
        if (folder / HASH_LIST).is_file():
            return read_hashes(folder)
        if folder.is_dir() and not (folder / MANIFEST_FILE).is_file():
            raise BadInputError(
                f"{folder} holds neither {MANIFEST_FILE} nor {HASH_LIST}, so there are no hashes "
                "to compare with; give a bundle, or a folder that `mimo-edge pack` made."
            )
    except OSError as error:
        raise BadBundleError(
            f"{folder / HASH_LIST} cannot be read ({error.strerror or error}); mend its "
            "permissions or copy the folder again."
        ) from error
    return {file.name: file.sha256 for file in read_manifest(folder).listed}


def verify_folder(
    folder: Path,
    hashes: dict[str, str],
    progress: Callable[[str, int], None] | None = None,
) -> Iterator[FileState]:
    """Read every listed file and compare its hash, then look for files that are not listed.

    Takes seconds per gigabyte; `progress` is told a file's name and the bytes of each piece read.
    """
    for name, expected in hashes.items():
        yield _state_of(folder, name, expected, progress)
    for name in sorted(_extra_files(folder, hashes)):
        yield FileState(name=name, state="extra", size=_size(folder / name))


def check_verified(folder: Path, states: list[FileState]) -> None:
    """Refuse a folder in which anything but whole files was found.

    Raises:
        BadBundleError: how many files are damaged, missing or extra, the first of each by name.
    """
    found = []
    for state in ("damaged", "missing", "unreadable", "extra"):
        names = [file.name for file in states if file.state == state]
        if names:
            more = f" and {len(names) - 1} more" if names[1:] else ""
            found.append(f"{names[0]}{more} {'is' if not names[1:] else 'are'} {_WORDS[state]}")
    if not found:
        return
    wrong = any(file.state not in ("whole", "extra") for file in states)
    remedy = "copy it again" if wrong else "remove what does not belong there"
    raise BadBundleError(f"{folder} is not as its list says: {', '.join(found)}; {remedy}.")


_WORDS = {
    "damaged": "damaged (another hash than listed)",
    "missing": "missing",
    "unreadable": "not readable",
    "extra": "not in the list",
}


def _state_of(
    folder: Path, name: str, expected: str, progress: Callable[[str, int], None] | None
) -> FileState:
    path = folder / name
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # `is_file` of Python 3.14 hides all errors
            return FileState(name=name, state="missing", size=None)
        digest = file_sha256(path, (lambda size: progress(name, size)) if progress else None)
    except (FileNotFoundError, NotADirectoryError):
        return FileState(name=name, state="missing", size=None)
    except OSError:  # a disk that fails says so here
        return FileState(name=name, state="unreadable", size=None)
    state: Literal["whole", "damaged"] = "whole" if digest == expected else "damaged"
    return FileState(name=name, state=state, size=_size(path))


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _extra_files(folder: Path, hashes: dict[str, str]) -> Iterator[str]:
    """Files that no list names; without the list itself, and what systems leave on disks."""
    packed = HASH_LIST not in hashes and (folder / HASH_LIST).is_file()
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        name = "/".join(parts)
        if name in hashes or path.is_dir() or any(map(is_left_by_systems, parts)):
            continue
        if _is_unfinished(parts[0]):
            continue
        own = (HASH_LIST,) if packed else (MANIFEST_FILE,)
        if name in own or (not packed and is_companion(name)):
            continue
        yield name


def is_companion(name: str) -> bool:
    """Whether a file of this name may accompany a bundle: its model card, its licence."""
    return name in COMPANIONS


def is_left_by_systems(name: str) -> bool:
    """Whether systems make a file or folder of this name unasked, as macOS does on sticks."""
    return name in _LEFT_BY_SYSTEMS or name.startswith("._")


def _is_unfinished(name: str) -> bool:
    """Whether a conversion or a download that was stopped left a file or folder of this name."""
    return name.startswith(".mimo-edge-")
