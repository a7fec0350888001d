"""Wheels that are packed beside a bundle: which there are, and for which machines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mimo_edge.errors import BadInputError

from .start.launch import NATIVE

__all__ = ["find_wheels", "pythons_of", "systems_of"]

_NEEDED = ("mimo_edge", *NATIVE, "pip")
"""Without one of these nothing can be installed or run."""
_SYSTEMS = (
    ("Linux x86-64", ("linux", "x86_64")),
    ("Linux arm64", ("linux", "aarch64")),
    ("macOS arm64", ("macosx", "arm64")),
    ("macOS x86-64", ("macosx", "x86_64")),
    ("Windows x86-64", ("win", "amd64")),
    ("Windows arm64", ("win", "arm64")),
)


def find_wheels(wheelhouses: Sequence[Path]) -> dict[str, Path]:
    """Name of every wheel → where it lies; of one name, the wheel of the first wheelhouse.

    Raises:
        MimoEdgeError: there is no such folder, or what mimo_edge needs is not in it.
    """
    wheels: dict[str, Path] = {}
    for folder in wheelhouses:
        if not folder.is_dir():
            raise BadInputError(
                f"{folder} is not a folder; give a folder of wheels, which `make wheelhouse` makes."
            )
        for path in sorted(folder.glob("*.whl")):
            if not path.name.startswith("."):
                wheels.setdefault(path.name, path)
    where = " and ".join(map(str, wheelhouses))
    for package in _NEEDED:
        if not any(name.startswith(f"{package}-") for name in wheels):
            raise BadInputError(
                f"{where} holds no wheel of {package}; make a complete wheelhouse with "
                "`make wheelhouse`."
            )
    return wheels


def systems_of(names: Sequence[str]) -> list[str]:
    """Systems on which llama.cpp's wheels run, in words."""
    tags = [name.removesuffix(".whl").split("-")[-1] for name in names if _is_of(name, NATIVE[0])]
    return [
        words
        for words, (system, machine) in _SYSTEMS
        if any(system in tag and (machine in tag or "universal2" in tag) for tag in tags)
    ]


def pythons_of(names: Sequence[str]) -> list[str]:
    """Versions of Python for which there is a wheel of onnxruntime, as `3.11`."""
    found = set()
    for name in names:
        if _is_of(name, "onnxruntime"):
            python = name.removesuffix(".whl").split("-")[-3]
            if python.startswith("cp3") and python[3:].isdigit():
                found.add(int(python[3:]))
    return [f"3.{minor}" for minor in sorted(found)]


def _is_of(name: str, package: str) -> bool:
    return name.startswith(f"{package}-")
