"""One program at a time writes a file or a folder: a second one is told so, and changes nothing."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import OutputError

__all__ = ["lock_beside", "only_writer"]


def lock_beside(path: Path) -> Path:
    """The hidden file that is locked while the file `path` is written."""
    return path.with_name(f".{path.name}.lock")


@contextlib.contextmanager
def only_writer(lock: Path, refusal: str) -> Iterator[None]:
    """Hold a lock file while the block runs; afterwards it is gone.

    The system frees it with the process, however that ends.

    Raises:
        OutputError: another program holds it; `refusal` is the sentence.
        OSError: the file cannot be made.
    """
    if not lock.parent.is_dir():  # the library would make it
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(lock))
    held = FileLock(lock, timeout=0)
    try:
        held.acquire()
    except Timeout:
        raise OutputError(refusal) from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows removes it with the release
            lock.unlink()
        held.release()
