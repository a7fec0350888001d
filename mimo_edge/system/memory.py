"""Whether there is memory for what is asked, looked at before it is used.

Native code that finds none does not raise: llama.cpp, OpenMP and OpenBLAS end the process.
"""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from ..errors import NoMemoryError
from .control_groups import ROOT, groups_of, read_text

__all__ = ["check_memory", "is_memory_fault", "no_memory"]

_REMEDY = "close other programs, or take a smaller context or a smaller recipe"
_WORDS = re.compile(
    r"MemoryError|out of memory|insufficient memory|cannot allocate|failed to allocate"
    r"|bad_alloc|bad allocation|allocation still failed"  # C++, and OpenBLAS
    r"|Available memory of|PosixThread"  # onnxruntime, the second one for a thread's stack
    r"|pthread_create failed|can't start new thread|Thread creation failed"  # Python, and OpenMP
    r"|failed to map segment",  # the dynamic linker
    re.IGNORECASE,
)
"""Of these, one stands in what a library says when there is no memory."""


def check_memory(what: str, used: float, *, mapped: float = 0, root: Path = ROOT) -> None:
    """Refuse what does not fit.

    Args:
        what: needs the memory, for the message.
        used: bytes that are written, so that they have to be in memory.
        mapped: bytes of files that are mapped and stacks of threads, which take addresses only.
        root: of the kernel's files, in which the limits of control groups stand.

    Raises:
        MimoEdgeError: there is less free.
    """
    for need, free in ((used, _memory_left(root)), (used + mapped, _addresses_left())):
        if free is not None and need > free:
            raise NoMemoryError(
                f"there is not enough memory for {what}: it takes about {need / 1e6:.0f} MB and "
                f"{max(0, free) / 1e6:.0f} MB are free; {_REMEDY}."
            )


def is_memory_fault(error: Exception | str) -> bool:
    """Whether what a library raised or said means that there was no memory."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    return _WORDS.search(str(error)) is not None


def no_memory(fault: str) -> NoMemoryError:
    """The error that says that `fault` is for want of memory."""
    return NoMemoryError(f"{fault}: there is not enough memory; {_REMEDY}.")


def _memory_left(root: Path) -> float:
    """Bytes that are free or can be made so, for this process and its control groups."""
    return min([float(psutil.virtual_memory().available), *_group_memory_left(root)])


def _addresses_left() -> float | None:
    """Bytes that limits of this process (`ulimit -v`, `ulimit -d`) leave; None: no limits."""
    if sys.platform == "win32":
        return None
    import resource

    used = psutil.Process().memory_info()
    limits = [(resource.RLIMIT_AS, used.vms), (resource.RLIMIT_DATA, getattr(used, "data", 0))]
    left = [
        resource.getrlimit(limit)[0] - size
        for limit, size in limits
        if resource.getrlimit(limit)[0] != resource.RLIM_INFINITY
    ]
    return min(left, default=None)


def _group_memory_left(root: Path) -> Iterator[float]:
    """What the limits of Linux' control groups (of a container, for example) leave.

    Pages of files count as used there, mapped weights too, but are given up for others.
    """
    names = {
        1: ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        2: ("memory.max", "memory.current"),
    }
    for version, group in groups_of("memory", root):
        most, now = (read_text(group / name).strip() for name in names[version])
        if most.isdigit() and now.isdigit():
            statistics = dict(
                words
                for row in read_text(group / "memory.stat").splitlines()
                if len(words := row.split()) == 2
            )
            kinds = ("inactive_file", "active_file")
            # Cached files count as used, but the kernel gives them up when memory is short.
            reclaimable = sum(int(statistics.get(kind, 0)) for kind in kinds)
            yield float(int(most) - int(now) + reclaimable)
