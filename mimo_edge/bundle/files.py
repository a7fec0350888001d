"""The files of a bundle: reading and checking the manifest, hashes."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import BadBundleError, BadInputError
from ..system.memory import is_memory_fault, no_memory
from ..windows_names import length_fault
from .manifest import CHECKSUM_KEY, MANIFEST_FILE, SCHEMA_VERSION, BundleFile, Manifest, checksum
from .manifest_checks import check_manifest
from .replacement import finish_replacement
from .untrusted_json import parse_json, validate

__all__ = [
    "check_bundle_path",
    "check_file",
    "file_sample",
    "file_sha256",
    "is_lfs_pointer",
    "load_manifest",
    "read_manifest",
]

_LOGGER = logging.getLogger(__name__)
_SAMPLES, _SAMPLE_BYTES = 16, 4096
_LONGEST_MANIFEST = 1 << 24
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_NAMED = 60
"""Characters of a wrong value that a message repeats."""


def file_sha256(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """SHA-256 of a file, read in pieces; `progress` is told the bytes of each piece."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(1 << 22):
            digest.update(piece)
            if progress:
                progress(len(piece))
    return digest.hexdigest()


def file_sample(path: Path) -> str:
    """SHA-256 over 16 blocks of 4 KiB, evenly spread from the first to the last byte.

    It tells the files of two bundles apart without reading gigabytes.
    """
    size = path.stat().st_size
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for index in range(_SAMPLES):
            stream.seek(max(0, size - _SAMPLE_BYTES) * index // (_SAMPLES - 1))
            digest.update(stream.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def check_bundle_path(bundle: Path) -> None:
    """Refuse a path that onnxruntime cannot open.

    Raises:
        MimoEdgeError: it holds bytes that are no text.
    """
    try:
        str(bundle).encode()
    except UnicodeEncodeError as error:
        raise BadInputError(
            f"{str(bundle)!r} holds a byte that is not UTF-8, and onnxruntime opens no file by "
            "such a name; rename the folder."
        ) from error


def load_manifest(bundle: Path) -> Manifest:
    """Read and check `manifest.json` and the files it lists (size, and a sample of each).

    Raises:
        MimoEdgeError: the folder is no bundle, the manifest is of another
            schema or does not validate, or a file is missing or not the listed one.
    """
    manifest = read_manifest(bundle)
    for file in manifest.files:
        with _errors_of(bundle / file.name):
            check_file(bundle, file)
    return manifest


def read_manifest(bundle: Path) -> Manifest:
    """Read and check `manifest.json` alone; the files that it lists are not looked at.

    Raises:
        MimoEdgeError: the folder is no bundle, or the manifest is of another schema or does not
            validate.
    """
    check_bundle_path(bundle)
    path = bundle / MANIFEST_FILE
    with _errors_of(bundle):
        if not bundle.is_dir():
            raise BadInputError(
                f"{bundle} is not a folder{length_fault(bundle)}; give the folder of a "
                "bundle, which `mimo-edge convert` makes of a checkpoint."
            )
        if finish_replacement(bundle):
            _LOGGER.warning("%s: the conversion that was stopped there is finished now.", bundle)
        if not path.is_file():
            raise BadBundleError(
                f"{bundle} holds no {MANIFEST_FILE}{length_fault(path)}, so it is not a finished "
                "bundle; "
                "convert the checkpoint into it with `mimo-edge convert`."
            )
    with _errors_of(path):
        return _read_manifest(path)


def _read_manifest(path: Path) -> Manifest:
    try:
        if path.stat().st_size > _LONGEST_MANIFEST:
            raise ValueError(f"it has {path.stat().st_size} bytes")
        raw = parse_json(path.read_bytes())
    except ValueError as error:
        raise BadBundleError(f"{path} is not valid JSON ({error}); convert again.") from error
    raw = raw if isinstance(raw, dict) else {}
    version = raw.get("schema_version")
    if version != SCHEMA_VERSION:
        raise BadBundleError(
            f"{path} has schema version {repr(version)[:_NAMED]} and this mimo_edge reads "
            f"{SCHEMA_VERSION}; convert the checkpoint again with this version."
        )
    stated = raw.pop(CHECKSUM_KEY, None)
    try:
        manifest = validate(Manifest, raw)
        if stated != checksum(raw):
            raise BadBundleError(
                f"{path} was edited or is damaged (its checksum differs); restore the file or "
                "convert again."
            )
        check_manifest(manifest)
    except ValueError as error:
        raise BadBundleError(f"{path}: {error}; restore the file or convert again.") from error
    return manifest


def check_file(bundle: Path, file: BundleFile) -> None:
    """Raise MimoEdgeError unless the file is there and the listed one."""
    path = bundle / file.name
    if not path.is_file():
        raise BadBundleError(f"{path} is missing; copy the whole bundle or convert again.")
    size = path.stat().st_size
    if is_lfs_pointer(path):
        raise BadBundleError(
            f"{path} is only a pointer of Git LFS; run `git lfs pull` in its folder, or fetch the "
            "bundle with `mimo-edge pull`."
        )
    if size != file.size:
        raise BadBundleError(
            f"{path} has {size} bytes instead of {file.size}: it is truncated or from "
            "another bundle; copy it again or convert again."
        )
    if file_sample(path) != file.sample:
        raise BadBundleError(
            f"{path} is not the file that the manifest describes: it is damaged or from "
            "another bundle; copy it again or convert again."
        )


def is_lfs_pointer(path: Path) -> bool:
    """Whether git has left a few lines in the place of a large file, as it does without Git LFS."""
    with path.open("rb") as stream:
        return stream.read(len(_LFS_POINTER)) == _LFS_POINTER


@contextlib.contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    """What the system says of a file that it does not give, as a sentence."""
    try:
        yield
    except OSError as error:
        if is_memory_fault(error):
            raise no_memory(f"{path} cannot be read") from error
        raise BadBundleError(
            f"{path} cannot be read ({error.strerror or error}); mend its permissions or copy the "
            "bundle again."
        ) from error
