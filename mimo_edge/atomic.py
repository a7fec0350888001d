"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from .errors import MimoEdgeError

__all__ = ["atomic_path", "check_folder"]


def check_folder(path: Path) -> None:
    """Raise MimoEdgeError unless the file could be made; ask before a long computation."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise MimoEdgeError(f"{path} cannot be written: there is no folder {folder}; make it.")
    if not os.access(folder, os.W_OK):
        raise MimoEdgeError(
            f"{path} cannot be written: {folder} is not writable for this user; choose another."
        )


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; renamed to `path` at the end, removed on any error.

    It has the same ending, since libraries choose formats by it.

    Raises:
        MimoEdgeError: the system refuses (no such folder, no permission, disk full).
    """
    partial = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}.partial{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        raise MimoEdgeError(
            f"{path} cannot be written ({error.strerror or error}); "
            "check the folder, its permissions and the free disk."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
