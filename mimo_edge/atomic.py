"""Files that appear whole or not at all, and whatever else a name may stand for.

One rule for everything that is written:

- A regular file, or a name that is still free: the bytes go to a hidden file beside it, are
  flushed to the disk, and get the name in one step. Until then the name holds what it held.
- A symbolic link stays; what it points to is written.
- An existing file keeps its permissions, and its owner where the system allows it.
- A device or a FIFO is written to, never replaced, and gets all bytes at the end. So does a
  stream of the process by its name in `/dev` or `/proc` (`/dev/stdout`).
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .errors import BadInputError, OutputError
from .windows_names import check_name, length_fault

__all__ = [
    "atomic_output",
    "check_output",
    "has_little_room",
    "is_disk_full",
    "made_folder",
    "output_errors",
    "sync_file",
    "sync_folder",
]

_SYSTEM = (Path("/dev"), Path("/proc"))
_LITTLE_ROOM = 64 << 20
"""Bytes; a disk with less is taken for the reason of a failure that states none."""


def check_output(path: Path) -> None:
    """Find out whether the file can be written, before a long computation; changes nothing.

    Raises:
        MimoEdgeError: its folder is missing or not writable, its name is too long or no name,
            it is a folder or protected.
    """
    with _sentences(path):
        before = _status(path)
        if before is not None and not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, "it is protected against writing")
        if _is_direct(path, before):
            return
        target = Path(os.path.realpath(path))
        if not target.parent.is_dir():
            raise OutputError(
                f"{path} cannot be written: there is no folder {target.parent}"
                f"{length_fault(target.parent)}; make it."
            )
        # Permissions alone do not tell: the disk may be read-only, the folder the system's.
        partial = _partial(target)
        try:
            os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        finally:
            _remove(partial)


@contextlib.contextmanager
def atomic_output(path: Path) -> Iterator[BinaryIO]:
    """A binary stream whose bytes are in the file `path` after the block, and after no error.

    Raises:
        MimoEdgeError: the system refuses (no such folder, no permission, disk full).
    """
    with _sentences(path):
        before = _status(path)
        if _is_direct(path, before):
            # Nothing can be taken back there, so nothing is written before all of it is known.
            whole = io.BytesIO()
            yield whole
            # Appended: behind `/dev/stdout` may stand a file that holds what others wrote.
            with path.open("ab") as file:
                file.write(whole.getvalue())
            return
        target = Path(os.path.realpath(path))
        partial = _partial(target)
        try:
            with _create(partial, before) as file:
                yield file
                file.flush()
                _sync(file)
            partial.replace(target)
            # The bytes are on the disk, but the name is not before its folder is.
            sync_folder(target.parent)
        finally:
            _remove(partial)


@contextlib.contextmanager
def output_errors(path: Path, remedy: str) -> Iterator[None]:
    """In the block, what the system refuses is an error about writing `path`.

    Raises:
        BadInputError: `path` is no name of a file on this system.
        OutputError: "`path` cannot be written (why); `remedy`."
    """
    check_name(path)
    try:
        yield
    except OSError as error:
        why = f"{error.strerror or error}{_length_fault(error, path)}"
        raise OutputError(f"{path} cannot be written ({why}); {remedy}.") from error


def _length_fault(error: OSError, path: Path) -> str:
    """`length_fault` of the file that the system refuses: a part of it has a longer name."""
    return length_fault(error.filename if isinstance(error.filename, str) else path)


def is_disk_full(error: OSError, folder: Path) -> bool:
    """Whether an error of writing into `folder` means that its disk, or a quota, is full."""
    if error.errno is None:  # NumPy's, of a write that ended early
        return has_little_room(folder)
    return error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


def has_little_room(folder: Path) -> bool:
    """Whether the disk of `folder` is as good as full; False if the system does not tell."""
    try:
        return shutil.disk_usage(folder).free < _LITTLE_ROOM
    except OSError:
        return False


def sync_file(path: Path) -> None:
    """Wait until what another stream wrote into a file is on the disk."""
    with path.open("r+b") as file:  # Windows wants a file that may be written
        _sync(file)


@contextlib.contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Make a folder and its parents; those that nothing was put into are gone after the block.

    Raises:
        OSError: the system refuses.
        MimoEdgeError: it is no name of a folder on this system.
    """
    check_name(folder)
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for path in missing:
            with contextlib.suppress(OSError):  # filled, or another process uses it
                path.rmdir()


def sync_folder(folder: Path) -> None:
    """Write the names in a folder to the disk, where a system can: Windows cannot."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _status(path: Path) -> os.stat_result | None:
    """What the name stands for; None if it is free, or a link to a free one."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return status


def _is_direct(path: Path, before: os.stat_result | None) -> bool:
    """Whether it is written to in place.

    A stream of the process (`/dev/stdout`, `/dev/fd/3`) may be a regular file, which other
    programs write to as well. `path` is followed link by link, since the end of the chain looks
    like any other file.
    """
    if before is None:
        return False
    if not stat.S_ISREG(before.st_mode):
        return True
    while True:
        if path.parent.name == "fd" and any(folder in path.parents for folder in _SYSTEM):
            return True
        if not path.is_symlink():
            return False
        path = Path(os.path.realpath(path.parent)) / path.readlink()


def _partial(target: Path) -> Path:
    """A free name in the same folder; short, whatever the length of the target's."""
    return target.with_name(f".{uuid.uuid4().hex[:12]}.partial")


def _create(partial: Path, before: os.stat_result | None) -> BinaryIO:
    """A new file with the owner and the permissions of the one that it is going to replace."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    # Readable for nobody else at first: the file that it replaces may be private.
    descriptor = os.open(partial, flags, 0o666 if before is None else 0o600)
    if before is not None and hasattr(os, "fchown"):
        permissions = stat.S_IMODE(before.st_mode)
        with contextlib.suppress(OSError):
            os.fchown(descriptor, before.st_uid, -1)
        try:
            os.fchown(descriptor, -1, before.st_gid)
        except OSError:
            permissions &= ~stat.S_IRWXG  # they were meant for another group
        with contextlib.suppress(OSError):
            os.fchmod(descriptor, permissions)
    return open(descriptor, "wb")  # noqa: PTH123


def _sync(file: BinaryIO) -> None:
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise  # the others only say that this file system cannot wait for its disk


def _remove(partial: Path) -> None:
    with contextlib.suppress(OSError):
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _sentences(path: Path) -> Iterator[None]:
    try:
        nameless = b"\0" in os.fsencode(path)
    except UnicodeError:  # half of a surrogate pair
        nameless = True
    if nameless:
        raise BadInputError(f"{str(path)!r} is no name of a file; give another one.")
    with output_errors(path, "check the name, the folder, its permissions and the free disk"):
        yield
