"""A wheel of what is installed already, so that nothing has to be built again."""

from __future__ import annotations

import zipfile
from importlib.metadata import distribution
from pathlib import Path

__all__ = ["wheel_of_installed"]

_SURPLUS = {"..", "bin", "include", "lib"}
"""Folders beside packages, for programmers in C: their libraries are other ones' copies."""


def wheel_of_installed(name: str, folder: Path, *, tags: str) -> Path:
    """Put the files of an installed distribution into a wheel again, compiled ones left out."""
    found = distribution(name)
    files = [
        file
        for file in found.files or ()
        if file.parts[0] not in _SURPLUS
        and file.suffix != ".pyc"
        and file.name != "direct_url.json"
    ]
    stem = f"{name.replace('-', '_')}-{found.version}"
    info = f"{stem}.dist-info/"
    surplus = {f"{info}{left}" for left in ("RECORD", "INSTALLER", "REQUESTED")}
    kept = [file for file in files if file.as_posix() not in surplus]
    path = folder / f"{stem}-{tags}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as wheel:
        for file in kept:
            wheel.write(file.locate(), file.as_posix())
        names = [*(file.as_posix() for file in kept), f"{info}RECORD"]
        wheel.writestr(f"{info}RECORD", "".join(f"{name},,\n" for name in names))
    return path
