"""Wheels of what is installed already, so that nothing has to be built or downloaded again."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

__all__ = ["wheel_of_installed", "wheels_of_needs"]

_SURPLUS = {"..", "bin", "include", "lib"}
"""Folders beside packages, for programmers in C: their libraries are other ones' copies."""


def wheel_of_installed(name: str, folder: Path) -> Path:
    """Put the files of an installed distribution into a wheel again, compiled ones left out.

    On Linux OpenMP's library, which comes with compilers, is put beside those that need it.
    """
    found = distribution(name)
    files = [
        file
        for file in found.files or ()
        if file.parts[0] not in _SURPLUS
        and file.suffix != ".pyc"
        and file.name != "direct_url.json"
    ]
    (info,) = {file.parts[0] for file in files if file.parts[0].endswith(".dist-info")}
    surplus = {f"{info}/{left}" for left in ("RECORD", "INSTALLER", "REQUESTED")}
    kept = [file for file in files if file.as_posix() not in surplus]
    path = folder / f"{info.removesuffix('.dist-info')}-{_tags(found)}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as wheel:
        for file in kept:
            wheel.write(file.locate(), file.as_posix())
        names = [*(file.as_posix() for file in kept), f"{info}/RECORD"]
        if name == "llama-cpp-python" and (library := _openmp()):
            names.append("llama_cpp/lib/libgomp.so.1")
            wheel.write(library, names[-1])
        wheel.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in names))
    return path


def wheels_of_needs(name: str, extras: Sequence[str], folder: Path) -> None:
    """A wheel of everything that a distribution with these extras needs, itself left out."""
    seen: set[str] = set()
    waiting = [(name, tuple(extras))]
    while waiting:
        name, extras = waiting.pop()
        for line in distribution(name).requires or ():
            need = Requirement(line)
            environments = [{"extra": extra} for extra in ("", *extras)]
            if need.marker and not any(map(need.marker.evaluate, environments)):
                continue
            if need.name not in seen:
                seen.add(need.name)
                wheel_of_installed(need.name, folder)
                waiting.append((need.name, tuple(need.extras)))


def _openmp() -> Path | None:
    found = Path("/usr/lib").glob("*-linux-gnu/libgomp.so.1")
    return next(found, None)


def _tags(found: Distribution) -> str:
    """As a wheel's name states them: `cp311-cp311-manylinux_2_28_x86_64.manylinux2014_x86_64`."""
    lines = (found.read_text("WHEEL") or "").splitlines()
    tags = [line.partition(": ")[2].split("-") for line in lines if line.startswith("Tag: ")]
    return "-".join(".".join(dict.fromkeys(column)) for column in zip(*tags, strict=True))
