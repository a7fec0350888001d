"""A bundle, wheels and what starts them in one folder, for a machine that was never online."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from mimo_edge.bundle.documents import COMPANIONS
from mimo_edge.bundle.files import load_manifest
from mimo_edge.bundle.hash_list import HASH_LIST, format_hashes
from mimo_edge.bundle.manifest import MANIFEST_FILE, Manifest

from ..room import Need, check_room
from ..target import claim
from .listed import listed_files, other_hash
from .pack_folder import BUNDLE_FOLDER, PACK, START_FILES, WHEELS_FOLDER
from .wheels import find_wheels, pythons_of, systems_of

__all__ = ["Packed", "Progress", "copy_and_hash", "pack"]

Progress = Callable[[str, int], None]
"""Told the name of the file that is copied and the bytes of each piece."""

_START = Path(__file__).parent / "start"
_PIECE = 1 << 22
_UNPACKED = 3
"""About how much larger an installation is than its wheels."""


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What was packed."""

    files: int
    size: int
    """Bytes of all files."""
    systems: list[str]
    """Systems on which it starts, in words."""
    pythons: list[str]
    """Versions of Python with which it starts."""


def pack(
    bundle: Path,
    wheelhouses: Sequence[Path],
    out: Path,
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> Packed:
    """Fill the folder `out`, which is there whole or not at all; a packed one with `force`.

    Raises:
        MimoEdgeError: the bundle is damaged, wheels are missing, `out` is in the way, or its disk
            is full or takes no file of that size.
    """
    manifest = load_manifest(bundle)
    wheels = find_wheels(wheelhouses)
    listed = listed_files(bundle, manifest)
    sources = {f"{BUNDLE_FOLDER}/{file.name}": bundle / file.name for file in listed}
    for name in (MANIFEST_FILE, *COMPANIONS):
        if (bundle / name).is_file():
            sources[f"{BUNDLE_FOLDER}/{name}"] = bundle / name
    sources |= {f"{WHEELS_FOLDER}/{name}": path for name, path in wheels.items()}
    size = sum(path.stat().st_size for path in sources.values())
    with claim(out, force=force, kind=PACK) as target, target.working_folder() as work:
        need = Need(what="the bundle and the wheels", folder=out, size=size)
        check_room([need], work="packing", remedy="make room, or pack onto another disk")
        hashes = {
            name: copy_and_hash(path, work / name, progress) for name, path in sources.items()
        }
        for file in listed:
            if hashes[f"{BUNDLE_FOLDER}/{file.name}"] != file.sha256:
                raise other_hash(bundle / file.name)
        hashes |= _write_start_files(work)
        hashes |= _write_readme(work, manifest, wheels)
        with contextlib.suppress(OSError):  # FAT has no permissions; `sh start.sh` needs none
            (work / START_FILES[0]).chmod(0o755)
        (work / HASH_LIST).write_text(format_hashes(hashes), encoding="utf-8", newline="\n")
    names = list(wheels)
    return Packed(
        files=len(hashes), size=size, systems=systems_of(names), pythons=pythons_of(names)
    )


def copy_and_hash(source: Path, to: Path, progress: Progress | None = None) -> str:
    """Copy a file's bytes, and nothing else of it; the SHA-256 of what was read.

    Raises:
        OSError: the system refuses.
    """
    to.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with source.open("rb") as read, to.open("wb") as write:
        while piece := read.read(_PIECE):
            digest.update(piece)
            write.write(piece)
            if progress:
                progress(to.name, len(piece))
    return digest.hexdigest()


def _write_start_files(work: Path) -> dict[str, str]:
    """Write what starts the model; name → SHA-256."""
    hashes = {}
    for name in START_FILES:
        data = (_START / name).read_bytes().replace(b"\r\n", b"\n")
        if name.endswith(".bat"):  # with bare line feeds, Windows may miss the labels in it
            data = data.replace(b"\n", b"\r\n")
        (work / name).write_bytes(data)
        hashes[name] = hashlib.sha256(data).hexdigest()
    return hashes


def _write_readme(work: Path, manifest: Manifest, wheels: dict[str, Path]) -> dict[str, str]:
    """Write the folder's README; its name → its SHA-256."""
    title = f"{manifest.name} ({manifest.recipe})"
    installed = _UNPACKED * sum(path.stat().st_size for path in wheels.values())
    text = (
        (_START / "README.txt")
        .read_text(encoding="utf-8")
        .format(
            name=title,
            rule="=" * len(title),
            version=version("mimo-edge"),
            pythons=", ".join(pythons_of(list(wheels))),
            systems=", ".join(systems_of(list(wheels))),
            installed=f"{installed / 1e6:.0f}",
        )
    )
    data = text.encode()
    (work / "README.txt").write_bytes(data)
    return {"README.txt": hashlib.sha256(data).hexdigest()}
