"""Parts of mapped files whose memory the system may have."""

from __future__ import annotations

import mmap
import sys
from pathlib import Path

import pytest

from mimo_edge.system.mapped_pages import let_go

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux is told")


def resident(path: Path) -> int:
    """KiB of a file that are in this process's memory."""
    found, inside = 0, False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        if line.endswith(str(path)):
            inside = True
        elif inside and line.startswith("Rss:"):
            found += int(line.split()[1])
            inside = False
    return found


def test_only_that_part_goes_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    pages = [bytes([number]) * mmap.PAGESIZE for number in range(64)]
    path.write_bytes(b"".join(pages))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert mapped[:] == b"".join(pages)
        before = resident(path)
        part = let_go(path, 10 * mmap.PAGESIZE + 1, 20 * mmap.PAGESIZE)
        assert part == 19 * mmap.PAGESIZE  # the pages at both ends hold other bytes, too
        assert before - resident(path) == part // 1024
        assert mapped[:] == b"".join(pages)


def test_what_is_not_mapped(tmp_path: Path) -> None:
    assert let_go(tmp_path / "none", 0, 1 << 20) == 0
