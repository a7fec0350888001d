"""The files of a downloaded checkpoint beside the hashes that the hub states for them.

The hub states the SHA-256 of large files and git's SHA-1 of small ones; some mirrors state the
plain SHA-1 of those. Its cache names a file by the hash, so that it can be checked later, too.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

__all__ = ["differing_files", "differs", "remove_cached"]

_LOGGER = logging.getLogger(__name__)

_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def differing_files(folder: Path, stated: Mapping[str, str]) -> list[Path]:
    """The files of `folder` whose content is not what its hash says.

    `stated` maps names to hashes; what it lacks is compared with its name in the cache. A file
    without either, or with a hash of another kind, counts as right.
    """
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    expected = {path: stated.get(path.name) or _cached_hash(path) for path in paths}
    total = sum(path.stat().st_size for path in paths)
    differing = []
    bar: Any = tqdm
    with bar(total=total, unit="B", unit_scale=True, desc="checking", disable=None) as shown:
        for path, digest in expected.items():
            if differs(path, digest, shown.update):
                differing.append(path)
    return differing


def differs(
    path: Path, digest: str | None, advance: Callable[[int], object] = lambda size: None
) -> bool:
    """Whether a file is another than its hash says; `advance` is told the bytes read."""
    if digest is None or not _DIGEST.fullmatch(digest):
        _LOGGER.debug("nothing says what %s should be", path)
        return False
    return digest not in _digests(path, len(digest), advance)


def remove_cached(paths: list[Path], cache: Path) -> None:
    """Remove files from a snapshot, and what they are links to inside the folder `cache`."""
    root = cache.resolve()
    for path in paths:
        links = [path]
        while links[-1].is_symlink():
            links.append(links[-1].parent / links[-1].readlink())
        for link in links:
            if root in link.parent.resolve().parents:
                link.unlink(missing_ok=True)


def _cached_hash(path: Path) -> str | None:
    """The cache keeps the content as `blobs/{hash}` and links to it."""
    with contextlib.suppress(OSError):
        return path.readlink().name
    return None


def _digests(path: Path, length: int, advance: Callable[[int], object]) -> set[str]:
    """What the hash of a file may be, in hexadecimal, by its length: 64 or 40 digits."""
    kinds = [hashlib.sha256()] if length == 64 else [hashlib.sha1(), hashlib.sha1()]
    if length == 40:
        kinds[0].update(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as stream:
        while piece := stream.read(1 << 22):
            for kind in kinds:
                kind.update(piece)
            advance(len(piece))
    return {kind.hexdigest() for kind in kinds}
