"""Putting a new bundle in the place of an old one, so that one of the two is always there.

A conversion writes into `PARTIAL_FOLDER`, inside the bundle's folder. When everything is
written, checked and on the disk, that folder is renamed to `COMPLETE_FOLDER`: from then on the
new bundle counts, and its files only have to move up, the manifest last. Whoever is stopped
in the middle of that leaves a state that anybody can finish: the next conversion does, and so
does whoever loads the bundle.
"""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path
from typing import Any

from ..atomic import sync_folder
from ..errors import OutputError
from .documents import CARD, COMPANIONS, DOCUMENTS, has_own_card
from .manifest import (
    BACKBONE_FILE,
    CHECKSUM_KEY,
    MANIFEST_FILE,
    PART_FILES,
    checksum,
)
from .untrusted_json import parse_json

__all__ = [
    "BUNDLE_FILES",
    "COMPLETE_FOLDER",
    "PARTIAL_FOLDER",
    "bundle_file_names",
    "finish_replacement",
]

PARTIAL_FOLDER = ".mimo-edge-partial"
"""Inside a bundle's folder: what a conversion has written so far."""
COMPLETE_FOLDER = ".mimo-edge-complete"
"""Inside a bundle's folder: files of a finished bundle that are still to be moved up."""

BUNDLE_FILES = frozenset((MANIFEST_FILE, *itertools.chain(*PART_FILES.values())))
"""Names of the files that a conversion makes."""

_KEYS_OF_OURS = {"schema_version", "backbone", "files"}
"""Of every manifest that a version of this program wrote."""


def bundle_file_names(folder: Path) -> frozenset[str] | None:
    """Names of the files that belong to the bundle in `folder`; None if that is no bundle of ours.

    Bundles of other schema versions and damaged ones are recognized, too. Names that only the
    manifest knows count if its checksum says that it was not edited: files are removed by it. A
    model card is one of them if a conversion wrote it.

    Raises:
        OSError: the manifest cannot be read.
    """
    if not (folder / MANIFEST_FILE).is_file():
        return None
    try:
        raw = _read_manifest(folder)
    except ValueError:  # cut off, or full of zeros after a power failure
        return BUNDLE_FILES if (folder / BACKBONE_FILE).is_file() else None
    if not isinstance(raw, dict) or not raw.keys() >= _KEYS_OF_OURS:
        return None
    card = {CARD} if has_own_card(folder) else frozenset()
    return BUNDLE_FILES | _listed_names(raw) | card


def finish_replacement(bundle: Path) -> bool:
    """Move the files of `COMPLETE_FOLDER` up, if a conversion was stopped before it did.

    Several processes may do so at once. Returns whether there was such a bundle.

    Raises:
        MimoEdgeError: the system refuses.
    """
    complete, moved = bundle / COMPLETE_FOLDER, False
    try:
        if not complete.is_dir() or complete.is_symlink():  # a link would move another's files
            return False
        with contextlib.suppress(FileNotFoundError, ValueError):
            names = _listed_names(_read_manifest(complete))
            if names:
                _move_up(bundle, complete, names)
                moved = True
        with contextlib.suppress(OSError):  # gone, or what is in it is not ours
            complete.rmdir()
    except OSError as error:
        raise OutputError(
            f"{bundle} holds a finished conversion that is not in its place yet, and it cannot be "
            f"moved there ({error.strerror or error}: {error.filename}); end the programs that "
            "use the bundle, mend its permissions and try again."
        ) from error
    return moved


def _read_manifest(folder: Path) -> Any:
    return parse_json((folder / MANIFEST_FILE).read_bytes())


def _listed_names(raw: Any) -> frozenset[str]:
    """The files that an unedited manifest lists, itself left out."""
    try:
        values = dict(raw)
        stated = values.pop(CHECKSUM_KEY)
        if stated != checksum(values):
            return frozenset()
        names = [str(file["name"]) for file in values["files"]]
        documents = [str(text["name"]) for text in values.get("documents", ())]
        names += [name for name in documents if name in DOCUMENTS]
    except (ValueError, TypeError, KeyError):
        return frozenset()
    return frozenset(n for n in names if n == Path(n).name and n and not n.startswith("."))


def _move_up(bundle: Path, complete: Path, names: frozenset[str]) -> None:
    """Replace the files, remove those that only the former bundle has, and end with the manifest.

    A file that is gone was moved already, by this process or another.
    """
    former = bundle_file_names(bundle) or frozenset()
    for name in (*names, *COMPANIONS):
        with contextlib.suppress(FileNotFoundError):
            (complete / name).replace(bundle / name)
    for name in former - names - {MANIFEST_FILE, CARD}:
        (bundle / name).unlink(missing_ok=True)
    sync_folder(bundle)
    with contextlib.suppress(FileNotFoundError):
        (complete / MANIFEST_FILE).replace(bundle / MANIFEST_FILE)
    sync_folder(bundle)
