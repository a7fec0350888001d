"""Models of noise to measure, written once into the user's cache."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable
from pathlib import Path

from ..bundle.manifest import MANIFEST_FILE
from ..errors import MissingPackageError, OutputError
from ..installation import CONVERTER
from .console import Console
from .signals import deadly

__all__ = ["SYNTHETIC", "remove_synthetic_bundles", "synthetic_bundle"]

SYNTHETIC = ("7b",)
"""Sizes there are: the released model's."""


def synthetic_bundle(size: str, console: Console) -> Path:
    """The folder of a bundle of noise of this size; written if it is not there yet.

    Raises:
        MimoEdgeError: packages for writing it are missing, or the disk is full.
    """
    folder = _folder(size)
    if (folder / MANIFEST_FILE).is_file():
        return folder
    console.note(f"writing a model of noise (6.8 GB) into {folder}; --remove-synthetic removes it")
    with console.busy("writing a model of noise") as say:

        def tell(stage: str, done: int, total: int) -> None:
            say(f"{stage}: {done / max(1, total):.0%}")

        _writer()(folder, tell)
    return folder


def remove_synthetic_bundles(console: Console) -> None:
    """Delete those that are there.

    Raises:
        MimoEdgeError: one cannot be deleted.
    """
    for folder in map(_folder, SYNTHETIC):
        if not folder.is_dir():
            continue
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise OutputError(f"{folder} cannot be removed ({error.strerror or error}).") from error
        console.note(f"{folder} was removed")


def _folder(size: str) -> Path:
    try:
        import platformdirs
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    return platformdirs.user_cache_path("mimo_edge", appauthor=False) / f"synthetic-{size}"


def _writer() -> Callable[[Path, Callable[[str, int, int], None]], object]:
    try:
        with deadly():
            module = importlib.import_module(f"{CONVERTER}.synthetic")
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    write: Callable[[Path, Callable[[str, int, int], None]], object] = module.synthetic_bundle
    return write


def _missing(error: ModuleNotFoundError) -> MissingPackageError:
    return MissingPackageError(
        f"a model of noise needs the package {error.name}; install all that it needs with "
        "`pip install 'mimo-edge[convert]'`."
    )
