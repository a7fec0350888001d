"""The folder that a command fills: claimed for one process, replaced whole, left as it was.

What the folder may hold before and afterwards is its `Kind`: a bundle, unless told otherwise.

All happens inside the folder itself, so that it keeps its place (a mount point, the folder a
shell is in, what a symbolic link leads to) and no name beside it is needed.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mimo_edge.atomic import is_disk_full, made_folder, sync_file, sync_folder
from mimo_edge.bundle.documents import COMPANIONS
from mimo_edge.bundle.files import check_bundle_path
from mimo_edge.bundle.replacement import (
    BUNDLE_FILES,
    COMPLETE_FOLDER,
    PARTIAL_FOLDER,
    bundle_file_names,
    finish_replacement,
)
from mimo_edge.errors import OutputError
from mimo_edge.one_writer import only_writer
from mimo_edge.windows_names import check_name, length_fault

__all__ = ["BUNDLE", "Kind", "Target", "claim"]

_LOGGER = logging.getLogger(__name__)

_LOCK_FILE = ".mimo-edge-lock"
"""Locked by the conversion at work; the system frees the lock with the process."""
_OWN_NAMES = {_LOCK_FILE, PARTIAL_FOLDER, COMPLETE_FOLDER}
_INTERMEDIATE = (".partial", ".source", ".imatrix", ".imatrix.rows.npz")
"""Endings of files that exist while a file of the bundle is made."""
_TEMPORARY = tuple(f".{name}." for name in BUNDLE_FILES)
"""Beginnings of folders in which onnx_ir writes the weights of a graph before it moves them."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a folder is filled with, and how to tell that from what belongs to somebody else."""

    noun: str
    """What such a folder is called in a sentence."""
    making: str
    """What the work that fills one is called there."""
    names: Callable[[Path], frozenset[str] | None]
    """Names of the files that belong to it; None if the folder is none of this kind."""
    entries: Callable[[Path], Iterable[str]]
    """Names of all that lies in the folder, of which each must be one of `names`."""
    is_half_made: Callable[[Path], bool]
    """Whether such a file or folder may lie where a stopped command was writing."""
    finish: Callable[[Path], bool]
    """Move finished files from `COMPLETE_FOLDER` to their places; False if there are none."""


def _is_half_made_bundle(path: Path) -> bool:
    names = {*BUNDLE_FILES, *COMPANIONS}
    ours = names | {name + end for name in names for end in _INTERMEDIATE}
    return path.name.startswith(_TEMPORARY) or (path.name in ours and not path.is_dir())


BUNDLE = Kind(
    noun="bundle",
    making="conversion",
    names=bundle_file_names,
    entries=lambda folder: (path.name for path in folder.iterdir()),
    is_half_made=_is_half_made_bundle,
    finish=finish_replacement,
)


@dataclass(frozen=True, kw_only=True)
class Target:
    """A folder that is ours to fill while the block of `claim` lasts."""

    folder: Path
    force: bool
    kind: Kind = BUNDLE
    keeps: bool = False
    """Whether what was written stays after an error, for the next attempt to go on with."""

    @contextlib.contextmanager
    def working_folder(self) -> Iterator[Path]:
        """A folder to write into; without an exception its files replace the old ones at the end.

        It is empty, unless the target keeps what a stopped attempt has written.

        Raises:
            MimoEdgeError: the disk is full or the system refuses.
        """
        work = self.folder / PARTIAL_FOLDER
        with _explained(self.folder):
            work.mkdir(exist_ok=self.keeps)
            yield work
            self._put_in_place(work)

    def _put_in_place(self, work: Path) -> None:
        for path in work.rglob("*"):
            (sync_folder if path.is_dir() else sync_file)(path)
        sync_folder(work)
        # A person may have put something there meanwhile.
        _check_contents(self.folder, self.kind, force=self.force)
        work.rename(self.folder / COMPLETE_FOLDER)  # from here on the new bundle counts
        sync_folder(self.folder)
        self.kind.finish(self.folder)


@contextlib.contextmanager
def claim(out: Path, *, force: bool, kind: Kind = BUNDLE, keeps: bool = False) -> Iterator[Target]:
    """Lock the folder `out` for this process; it is made if it is not there.

    What a killed command left in it is finished or removed. At the end nothing is left that
    was not there before, except for what was put in place; with `keeps` also what an attempt that
    failed has written, which the next one finds.

    Raises:
        MimoEdgeError: `out` is in the way (a folder of this kind needs `force`, anything else stays
            untouched), another process is writing it, or the system refuses.
    """
    check_bundle_path(out)
    check_name(out)
    with contextlib.ExitStack() as stack:
        with _explained(out):
            if not (out / _LOCK_FILE).exists():  # with it, whoever locked it may be in the middle
                _check_contents(out, kind, force=force)
            _check_link(out)
            stack.enter_context(made_folder(out))
            refusal = (
                f"{out} is being written by another {kind.making}; wait until it has ended, or "
                "choose another folder."
            )
            stack.enter_context(only_writer(out / _LOCK_FILE, refusal))
            if kind.finish(out):
                _LOGGER.warning(
                    "%s: the %s that was stopped there is finished now.", out, kind.making
                )
            _check_contents(out, kind, force=force)
            _check_partial(out, kind)
            if not keeps:
                shutil.rmtree(out / PARTIAL_FOLDER, ignore_errors=True)
        if not keeps:
            stack.callback(shutil.rmtree, out / PARTIAL_FOLDER, ignore_errors=True)
        stack.callback(kind.finish, out)  # if Ctrl-C came in the middle of it
        yield Target(folder=out, force=force, kind=kind, keeps=keeps)


def _check_link(out: Path) -> None:
    if out.is_symlink() and not out.exists():
        raise OutputError(
            f"{out} is a symbolic link that leads nowhere ({out.readlink()}); make the folder "
            "it leads to, or choose another."
        )


def _check_contents(out: Path, kind: Kind, *, force: bool) -> None:
    """Raise MimoEdgeError unless `out` is missing, empty, or of this kind and may be replaced."""
    if not out.exists():
        return
    if not out.is_dir():
        raise OutputError(f"{out} exists and is no {kind.noun}; choose another folder.")
    entries = sorted(name for name in kind.entries(out) if name.split("/")[0] not in _OWN_NAMES)
    if not entries:
        return
    names = kind.names(out)
    if names is None:
        raise OutputError(f"{out} exists and is no {kind.noun}; choose another folder.")
    foreign = [name for name in entries if name not in names or (out / name).is_dir()]
    if foreign:
        raise OutputError(
            f"{out} holds {foreign[0]}, which is not part of the {kind.noun} there; move it "
            "somewhere else, or choose another folder."
        )
    if not force:
        raise OutputError(
            f"{out} is a {kind.noun} already; choose another folder, or have it replaced.",
            about="replace",
        )


def _check_partial(out: Path, kind: Kind) -> None:
    """Let nothing be removed that a person has put where a stopped command was writing."""
    for folder in (out / PARTIAL_FOLDER, out / COMPLETE_FOLDER):
        if not folder.is_dir():
            continue
        for path in sorted(folder.iterdir()):
            if not kind.is_half_made(path):
                raise OutputError(
                    f"{path} was not written by a {kind.making}; move it somewhere else."
                )
        if folder.name == COMPLETE_FOLDER:  # half of one: it could not be finished
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
        if error.errno == errno.EFBIG:
            raise OutputError(
                f"the disk of {out} takes no file of that size (FAT32 ends at 4 GiB); format it as "
                "exFAT or NTFS, or choose another folder."
            ) from error
        refused = error.filename if isinstance(error.filename, str) else out
        why = f"{error.strerror or error}{length_fault(refused)}"
        raise OutputError(
            f"{refused} cannot be written ({why}); choose another folder or mend its permissions."
        ) from error
