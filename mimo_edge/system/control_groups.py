"""Linux' control groups that this process is in: the limits of containers and services."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

__all__ = ["ROOT", "groups_of", "read_text"]

ROOT = Path("/")
"""Under which the kernel's files lie; tests give another folder."""


def groups_of(controller: str, root: Path = ROOT) -> list[tuple[int, Path]]:
    """(version 1 or 2, folder) of every group whose limits of `controller` may hold; maybe none.

    A limit of a group above holds as well. In a container the path may be the host's, of which
    only the root is seen there.
    """
    found: list[tuple[int, Path]] = []
    tree = root / "sys/fs/cgroup"
    for line in read_text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if line.startswith("0::"):
            version, roots = 2, [tree, tree / "unified"]
        elif controller in controllers.split(","):
            version, roots = 1, [tree / controller, tree / controllers]
        else:
            continue
        own = PurePosixPath("/", path)
        groups = [str(group).lstrip("/") for group in (own, *own.parents)]
        found += [(version, mounted / group) for mounted in roots for group in groups]
    return list(dict.fromkeys(found))


def read_text(path: Path) -> str:
    """What a file of the kernel says; nothing if it is not there."""
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
