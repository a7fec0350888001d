"""The files that a bundle's manifest lists, about to be copied or sent: all there, none damaged."""

from __future__ import annotations

from pathlib import Path

from mimo_edge.bundle.files import file_sha256
from mimo_edge.bundle.manifest import BundleFile, Document, Manifest
from mimo_edge.errors import BadBundleError

__all__ = ["check_hashes", "listed_files", "other_hash"]


def listed_files(bundle: Path, manifest: Manifest) -> tuple[BundleFile | Document, ...]:
    """What the manifest lists, all of which lies in the folder `bundle`.

    Raises:
        BadBundleError: one is missing.
    """
    for file in manifest.listed:
        if not (bundle / file.name).is_file():
            raise BadBundleError(
                f"{bundle / file.name} is missing, which belongs to the bundle by its manifest; "
                "copy it again or convert again."
            )
    return manifest.listed


def check_hashes(bundle: Path, manifest: Manifest) -> None:
    """Read every listed file and compare its hash.

    Raises:
        BadBundleError: one is missing, or not the listed one.
    """
    for file in listed_files(bundle, manifest):
        if file_sha256(bundle / file.name) != file.sha256:
            raise other_hash(bundle / file.name)


def other_hash(path: Path) -> BadBundleError:
    """The error about a file that is not the listed one."""
    return BadBundleError(
        f"{path} has another hash than the manifest lists: it is damaged or was edited; copy it "
        "again or convert again."
    )
