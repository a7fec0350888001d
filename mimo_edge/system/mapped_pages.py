"""Memory of parts of mapped files that are hardly ever read, and of zeros."""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["let_go", "let_go_of_zeros"]

_DONTNEED = 4
"""Linux's MADV_DONTNEED. Of a mapped file nothing is lost: what is touched is read again, from the
system's cache as long as there is memory. Other memory is zeros when it is touched again."""


def let_go(path: Path, start: int, size: int) -> int:
    """Let the system have the memory in which a file's bytes from `start` on are mapped.

    Returns:
        How many bytes that are at most; 0 where the system is not Linux, or nothing is mapped.
    """
    if sys.platform != "linux":
        return 0
    given = 0
    for address, offset, length in _mappings(os.path.realpath(path)):
        first = max(start - offset, 0)
        given += _give_back(address + first, min(start + size - offset, length) - first)
    return given


def let_go_of_zeros(address: int, size: int) -> int:
    """Let the system have memory of this process that is zeros, and is written by nobody meanwhile.

    It was allocated, and is no mapped file; whatever else is in it becomes zeros, too.

    Returns:
        How many bytes that are at most; 0 where the system is not Linux.
    """
    return _give_back(address, size) if sys.platform == "linux" else 0


def _give_back(address: int, size: int) -> int:
    """Bytes of the whole pages in a range, which the system gets: the pages at its ends hold bytes
    of others as well.
    """
    first = address + -address % mmap.PAGESIZE
    last = (address + size) // mmap.PAGESIZE * mmap.PAGESIZE
    if first >= last:
        return 0
    library = ctypes.CDLL(None)
    library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return 0 if library.madvise(first, last - first, _DONTNEED) else last - first


def _mappings(path: str) -> Iterator[tuple[int, int, int]]:
    """(address, offset in the file, bytes) of every place of this process that maps a file."""
    with Path("/proc/self/maps").open(encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields = line.rstrip("\n").split(maxsplit=5)
            if len(fields) == 6 and fields[5] == path:
                begin, end = (int(address, 16) for address in fields[0].split("-"))
                yield begin, int(fields[2], 16), end - begin
