"""How many cores this process may keep busy: processors, affinity, quotas of containers."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import psutil

from .control_groups import ROOT, groups_of, read_text

__all__ = ["allowed_cpus", "fast_cores", "logical_processors", "processor_name", "usable_cores"]


def allowed_cpus() -> set[int] | None:
    """Numbers of the logical processors that this process may run on; None: any, or not known."""
    return set(os.sched_getaffinity(0)) if sys.platform == "linux" else None


def logical_processors() -> int:
    """Logical processors that this process may run on, at least 1."""
    return len(allowed_cpus() or ()) or os.cpu_count() or 1


def usable_cores(root: Path = ROOT) -> int:
    """Physical cores that this process may use, at least 1; `root`: of the kernel's files.

    The second thread of a core reads no faster, and waits for the first where all wait.
    """
    if sys.platform == "linux":
        return _within_quota(_physical(os.sched_getaffinity(0), root), root)
    return psutil.cpu_count(logical=False) or os.cpu_count() or 1


def fast_cores(root: Path = ROOT) -> int:
    """Cores without a hybrid processor's slow ones, for which the fast ones would wait.

    Which those are Linux tells of Intel's processors and macOS of Apple's; of others all count.
    """
    if sys.platform == "linux":
        allowed = os.sched_getaffinity(0)
        fast = _cpu_list(root / "sys/devices/cpu_core/cpus") & allowed or allowed
        return _within_quota(_physical(fast, root), root)
    performance = _apple_performance_cores() if sys.platform == "darwin" else 0
    return performance or usable_cores(root)


def processor_name(root: Path = ROOT) -> str:
    """What the processor calls itself, as exactly as the system tells."""
    if sys.platform == "linux":
        told = read_text(root / "proc/cpuinfo")
        found = re.search(r"^model name\s*:\s*(.+)$", told, re.MULTILINE)
        return found[1].strip() if found else platform.machine()
    if sys.platform == "darwin":
        return _sysctl("machdep.cpu.brand_string") or platform.machine()
    return platform.processor()


def _physical(cpus: set[int], root: Path) -> int:
    """Different cores among logical processors; where Linux does not tell, each is one."""
    topology = root / "sys/devices/system/cpu"
    siblings = (_cpu_list(topology / f"cpu{n}" / "topology" / "core_cpus_list") for n in cpus)
    return len({frozenset(found or {n}) for n, found in zip(cpus, siblings, strict=True)})


def _cpu_list(path: Path) -> set[int]:
    """Numbers in a list of the kernel's, as `0-3,8`; none if there is no such file."""
    try:
        text = path.read_text(encoding="ascii").strip()
        # "0-3,8": ranges with both ends, and single numbers.
        ranges = [part.split("-") for part in text.split(",") if part]
        return {n for ends in ranges for n in range(int(ends[0]), int(ends[-1]) + 1)}
    except (OSError, ValueError):
        return set()


def _apple_performance_cores() -> int:
    """0 on a Mac with an Intel processor, which has no such levels."""
    try:
        return int(_sysctl("hw.perflevel0.physicalcpu"))
    except ValueError:
        return 0


def _sysctl(name: str) -> str:
    """What macOS says of this machine; empty if it does not know."""
    command = ["/usr/sbin/sysctl", "-n", name]
    try:
        done = subprocess.run(command, capture_output=True, check=True, encoding="utf-8")
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _within_quota(cores: int, root: Path) -> int:
    """No more than a container's quota of processor time gives.

    Threads beyond it all stand still together for the rest of every period, and with them
    whatever waits for one; so a quota of 2.5 cores is 2.
    """
    return max(1, min([cores, *(int(quota) for quota in _quotas(root))]))


def _quotas(root: Path) -> list[float]:
    """Cores by every quota of the control groups that this process is in."""
    files = {1: ("cpu.cfs_quota_us", "cpu.cfs_period_us"), 2: ("cpu.max",)}
    found = (
        _quota([word for name in files[version] for word in read_text(group / name).split()])
        for version, group in groups_of("cpu", root)
    )
    return [quota for quota in found if quota is not None]


def _quota(words: list[str]) -> float | None:
    """Cores from `quota period` in microseconds; None where there is no limit (`max`, -1)."""
    try:
        quota, period = map(int, words)
    except ValueError:
        return None
    return quota / period if quota > 0 and period > 0 else None
