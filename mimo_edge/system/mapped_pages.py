"""Memory of parts of mapped files that are hardly ever read."""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["let_go"]

_DONTNEED = 4
"""Linux's MADV_DONTNEED. Of a mapped file nothing is lost: what is touched is read again, from the
system's cache as long as there is memory."""


def let_go(path: Path, start: int, size: int) -> int:
    """Let the system have the memory in which a file's bytes from `start` on are mapped.

    Returns:
        How many bytes that are at most; 0 where the system is not Linux, or nothing is mapped.
    """
    if sys.platform != "linux":
        return 0
    library = ctypes.CDLL(None)
    library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    given = 0
    for address, offset, length in _mappings(os.path.realpath(path)):
        # Whole pages only: those at the ends hold bytes of others as well.
        first = max(start - offset, 0)
        first += -first % mmap.PAGESIZE
        last = min(start + size - offset, length)
        last -= last % mmap.PAGESIZE
        if first < last and not library.madvise(address + first, last - first, _DONTNEED):
            given += last - first
    return given


def _mappings(path: str) -> Iterator[tuple[int, int, int]]:
    """(address, offset in the file, bytes) of every place of this process that maps a file."""
    with Path("/proc/self/maps").open(encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields = line.rstrip("\n").split(maxsplit=5)
            if len(fields) == 6 and fields[5] == path:
                begin, end = (int(address, 16) for address in fields[0].split("-"))
                yield begin, int(fields[2], 16), end - begin
