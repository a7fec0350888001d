"""The folder that a conversion fills: claimed for one process, replaced whole, left as it was.

All happens inside the folder itself, so that it keeps its place (a mount point, the folder a
shell is in, what a symbolic link leads to) and no name beside it is needed.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from mimo_edge.atomic import is_disk_full, made_folder, sync_file, sync_folder
from mimo_edge.bundle.files import check_bundle_path
from mimo_edge.bundle.replacement import (
    BUNDLE_FILES,
    COMPLETE_FOLDER,
    PARTIAL_FOLDER,
    bundle_file_names,
    finish_replacement,
)
from mimo_edge.errors import OutputError

__all__ = ["Target", "claim"]

_LOGGER = logging.getLogger(__name__)

_LOCK_FILE = ".mimo-edge-lock"
"""Locked by the conversion at work; the system frees the lock with the process."""
_OWN_NAMES = {_LOCK_FILE, PARTIAL_FOLDER, COMPLETE_FOLDER}
_INTERMEDIATE = (".partial", ".source")
"""Endings of files that exist while a file of the bundle is made."""
_TEMPORARY = tuple(f".{name}." for name in BUNDLE_FILES)
"""Beginnings of folders in which onnx_ir writes the weights of a graph before it moves them."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A folder that is ours to fill while the block of `claim` lasts."""

    folder: Path
    force: bool

    @contextlib.contextmanager
    def working_folder(self) -> Iterator[Path]:
        """A fresh folder to write into; without an exception it replaces the bundle at the end.

        Raises:
            MimoEdgeError: the disk is full or the system refuses.
        """
        work = self.folder / PARTIAL_FOLDER
        with _explained(self.folder):
            work.mkdir()
            yield work
            self._put_in_place(work)

    def _put_in_place(self, work: Path) -> None:
        for path in work.iterdir():
            sync_file(path)
        sync_folder(work)
        _check_contents(self.folder, force=self.force)  # a person may have put something there
        work.rename(self.folder / COMPLETE_FOLDER)  # from here on the new bundle counts
        sync_folder(self.folder)
        finish_replacement(self.folder)


@contextlib.contextmanager
def claim(out: Path, *, force: bool) -> Iterator[Target]:
    """Lock the folder `out` for this process; it is made if it is not there.

    What a killed conversion left in it is finished or removed. At the end nothing is left that
    was not there before, except for the bundle that was put in place.

    Raises:
        MimoEdgeError: `out` is in the way (a bundle needs `force`, anything else stays
            untouched), another conversion is writing it, or the system refuses.
    """
    check_bundle_path(out)
    with contextlib.ExitStack() as stack:
        with _explained(out):
            if not (out / _LOCK_FILE).exists():  # with it, whoever locked it may be in the middle
                _check_contents(out, force=force)
            _check_link(out)
            stack.enter_context(made_folder(out))
            stack.enter_context(_locked(out))
            if finish_replacement(out):
                _LOGGER.warning("%s: the conversion that was stopped there is finished now.", out)
            _check_contents(out, force=force)
            _remove_partial(out)
        stack.callback(shutil.rmtree, out / PARTIAL_FOLDER, ignore_errors=True)
        stack.callback(finish_replacement, out)  # if Ctrl-C came in the middle of it
        yield Target(folder=out, force=force)


def _check_link(out: Path) -> None:
    if out.is_symlink() and not out.exists():
        raise OutputError(
            f"{out} is a symbolic link that leads nowhere ({out.readlink()}); make the folder "
            "it leads to, or choose another."
        )


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[None]:
    path = out / _LOCK_FILE
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise OutputError(
            f"{out} is being written by another conversion; wait until it has ended, or choose "
            "another folder."
        ) from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows removes it with the release
            path.unlink()
        lock.release()


def _check_contents(out: Path, *, force: bool) -> None:
    """Raise MimoEdgeError unless `out` is missing, empty, or a bundle that may be replaced."""
    if not out.exists():
        return
    if not out.is_dir():
        raise OutputError(f"{out} exists and is no bundle; choose another folder.")
    entries = sorted(path.name for path in out.iterdir() if path.name not in _OWN_NAMES)
    if not entries:
        return
    names = bundle_file_names(out)
    if names is None:
        raise OutputError(f"{out} exists and is no bundle; choose another folder.")
    foreign = [name for name in entries if name not in names or (out / name).is_dir()]
    if foreign:
        raise OutputError(
            f"{out} holds {foreign[0]}, which is not part of the bundle there; move it "
            "somewhere else, or choose another folder."
        )
    if not force:
        raise OutputError(
            f"{out} is a bundle already; choose another folder, or have it replaced.",
            about="replace",
        )


def _remove_partial(out: Path) -> None:
    """Remove what a killed conversion left, and nothing else that may be in its folders."""
    for folder in (out / PARTIAL_FOLDER, out / COMPLETE_FOLDER):
        if not folder.is_dir():
            continue
        ours = BUNDLE_FILES | {name + end for name in BUNDLE_FILES for end in _INTERMEDIATE}
        for path in sorted(folder.iterdir()):
            made_by_library = path.name.startswith(_TEMPORARY)
            if not made_by_library and (path.name not in ours or path.is_dir()):
                raise OutputError(
                    f"{path} was not written by a conversion; move it somewhere else."
                )
        shutil.rmtree(folder)


@contextlib.contextmanager
def _explained(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if is_disk_full(error, out):
            raise OutputError(
                f"the disk of {out} is full; free some and run the same command again."
            ) from error
        raise OutputError(
            f"{error.filename or out} cannot be written ({error.strerror or error}); "
            "choose another folder or mend its permissions."
        ) from error
