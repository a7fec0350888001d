"""What a packed folder looks like, and how a new one takes the place of an old one.

`SHA256SUMS` names every file. It is moved to its place last, and as long as `COMPLETE_FOLDER` is
there the folder does not start: so one in which a packing was stopped never looks whole.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from mimo_edge.atomic import sync_folder
from mimo_edge.bundle.hash_list import HASH_LIST, read_hashes
from mimo_edge.bundle.manifest import MANIFEST_FILE
from mimo_edge.bundle.replacement import COMPLETE_FOLDER
from mimo_edge.bundle.verification import is_left_by_systems
from mimo_edge.errors import BadBundleError

from ..target import Kind

__all__ = ["BUNDLE_FOLDER", "PACK", "START_FILES", "WHEELS_FOLDER"]

BUNDLE_FOLDER = "bundle"
WHEELS_FOLDER = "wheels"
START_FILES = ("start.sh", "start.bat", "launch.py")
_README = "README.txt"
_TOP = {BUNDLE_FOLDER, WHEELS_FOLDER, *START_FILES, _README, HASH_LIST}
_MARKS = {*START_FILES, f"{BUNDLE_FOLDER}/{MANIFEST_FILE}"}
"""What a list of hashes names if it is ours: others use that name, too."""


def _names(folder: Path) -> frozenset[str] | None:
    """The files that belong to the packed folder; None if it is none.

    In the middle of a replacement those of the old one and of the new one.
    """
    complete = folder / COMPLETE_FOLDER
    lists = [_listed(folder), None if complete.is_symlink() else _listed(complete)]
    found = [names for names in lists if names is not None]
    return frozenset().union(*found) if found else None


def _listed(folder: Path) -> frozenset[str] | None:
    """The files that a list of ours names, itself among them."""
    if not (folder / HASH_LIST).is_file():
        return None
    try:
        listed = frozenset(read_hashes(folder))
    except BadBundleError:
        return None
    return listed | {HASH_LIST} if listed >= _MARKS else None


def _entries(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        if not any(map(is_left_by_systems, parts)) and not path.is_dir():
            yield "/".join(parts)


def _finish(folder: Path) -> bool:
    """Move finished files up from `COMPLETE_FOLDER`; anybody can go on where another stopped."""
    complete = folder / COMPLETE_FOLDER
    if not complete.is_dir() or complete.is_symlink():  # a link would move another's files
        return False
    new = _listed(complete)
    if new is None:
        return False
    former = _listed(folder) or frozenset()
    for name in sorted(former - new):
        (folder / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # others are in it
            (folder / name).parent.rmdir()
    for name in sorted(new - {HASH_LIST}):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # moved already
            (complete / name).replace(folder / name)
    sync_folder(folder)
    (complete / HASH_LIST).replace(folder / HASH_LIST)
    sync_folder(folder)
    shutil.rmtree(complete, ignore_errors=True)
    return True


PACK = Kind(
    noun="packed folder",
    making="packing",
    names=_names,
    entries=_entries,
    is_half_made=lambda path: path.name in _TOP,
    finish=_finish,
)
