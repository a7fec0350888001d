"""Fetching a bundle from a folder or a hub into a folder, where it is whole or not at all.

What has arrived when the command is stopped stays, and the next attempt goes on with it. Every
file is compared with the hash that the manifest lists, and the manifest with the fingerprint that
the caller may know.
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from mimo_edge.bundle.documents import COMPANIONS
from mimo_edge.bundle.files import file_sha256, is_lfs_pointer, read_manifest
from mimo_edge.bundle.manifest import MANIFEST_FILE, BundleFile, Document, Manifest
from mimo_edge.bundle.replacement import bundle_file_names
from mimo_edge.errors import BadBundleError

from ..room import Need, check_room
from ..target import BUNDLE, claim
from .sources import Source

__all__ = ["Told", "pull"]

_LOGGER = logging.getLogger(__name__)

Told = Callable[[str], None]
"""Told the name of the file that is being fetched."""

_ATTEMPTS = 3
_LARGEST_COMPANION = 1 << 24


def _names(folder: Path) -> frozenset[str] | None:
    names = bundle_file_names(folder)
    return None if names is None else names | frozenset(COMPANIONS)


_BUNDLE = dataclasses.replace(BUNDLE, making="download", names=_names)
"""A bundle with its model card and licence, which are replaced with it."""


def pull(
    find: Callable[[], Source],
    out: Path,
    *,
    force: bool = False,
    fingerprint: str | None = None,
    tell: Told | None = None,
) -> Manifest:
    """Fetch a bundle into the folder `out`; a bundle that is there is replaced with `force`.

    `find` looks up where it comes from, once `out` is known to be free.

    Raises:
        MimoEdgeError: `out` is in the way, its disk is full, the source cannot be reached, a file
            arrives damaged each time, or the bundle has another fingerprint.
    """
    with claim(out, force=force, kind=_BUNDLE, keeps=True) as target:
        source = find()
        with target.working_folder() as work:
            tell = tell or (lambda name: None)
            manifest = _fetch_manifest(source, work, fingerprint)
            _check_room(out, work, manifest)
            for file in manifest.listed:
                tell(file.name)
                _fetch_file(source, work, file)
            companions = source.names() & set(COMPANIONS) - _listed(manifest)
            for name in sorted(companions):
                tell(name)
                _fetch_companion(source, work, name)
            for path in work.iterdir():  # of an attempt at another bundle
                if path.name not in {MANIFEST_FILE, *companions, *_listed(manifest)}:
                    path.unlink()
        for name in set(COMPANIONS) - companions - _listed(manifest):
            (out / name).unlink(missing_ok=True)  # of the bundle that was replaced
    return manifest


def _listed(manifest: Manifest) -> set[str]:
    return {file.name for file in manifest.listed}


def _fetch_manifest(source: Source, work: Path, fingerprint: str | None) -> Manifest:
    path, partial = work / MANIFEST_FILE, work / f"{MANIFEST_FILE}.partial"
    former = path.read_bytes() if path.exists() else b""
    partial.unlink(missing_ok=True)
    source.fetch(MANIFEST_FILE, partial)
    if partial.read_bytes() != former:  # the beginnings are of another bundle's files
        for left in work.glob("*.partial"):
            if left != partial:
                left.unlink()
    partial.replace(path)
    manifest = read_manifest(work)
    if fingerprint is not None and manifest.fingerprint() != fingerprint.lower():
        shutil.rmtree(work)
        raise BadBundleError(
            f"the bundle there has the fingerprint {manifest.fingerprint()} and not the one that "
            "was asked for: it is another one, or was changed; ask whoever made it."
        )
    return manifest


def _check_room(out: Path, work: Path, manifest: Manifest) -> None:
    have = sum(path.stat().st_size for path in work.iterdir())
    listed = sum(file.size for file in manifest.listed)
    size = max(0, listed - have)
    check_room(
        [Need(what="the bundle", folder=out, size=size)],
        work="the download",
        remedy="make room, or choose another folder",
    )


def _fetch_file(source: Source, work: Path, file: BundleFile | Document) -> None:
    """Fetch one file, unless it is there, and compare its hash."""
    path, partial = work / file.name, work / f"{file.name}.partial"
    if path.exists() and file_sha256(path) == file.sha256:
        return
    path.unlink(missing_ok=True)
    for _ in range(_ATTEMPTS):
        source.fetch(file.name, partial)
        if file_sha256(partial) == file.sha256:
            partial.replace(path)
            return
        pointer = is_lfs_pointer(partial)
        partial.unlink()
        if pointer:
            raise BadBundleError(
                f"{file.name} is only a pointer of Git LFS there, without the file itself; run "
                "`git lfs pull` where the repository was cloned, and then the same command again."
            )
        _LOGGER.warning("%s arrived damaged and is fetched again", file.name)
    raise BadBundleError(
        f"{file.name} arrived damaged {_ATTEMPTS} times: it has not the hash that the manifest "
        "lists; nothing of it was kept; have the bundle checked there (`mimo-edge verify`)."
    )


def _fetch_companion(source: Source, work: Path, name: str) -> None:
    partial = work / f"{name}.partial"
    partial.unlink(missing_ok=True)
    source.fetch(name, partial)
    if partial.stat().st_size > _LARGEST_COMPANION:
        raise BadBundleError(f"{name} is no text beside a model: it has more than 16 MB.")
    partial.replace(work / name)
