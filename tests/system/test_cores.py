"""How many cores count: threads of a core, slow cores, affinity, quotas of containers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from mimo_edge.system.cores import fast_cores, usable_cores

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux tells this in files")


@pytest.fixture
def hybrid(tmp_path: Path) -> Path:
    """What Linux says of two fast cores with two threads each (0 to 3) and four slow ones."""
    devices = tmp_path / "sys/devices"
    for cpu in range(8):
        topology = devices / f"system/cpu/cpu{cpu}/topology"
        topology.mkdir(parents=True)
        first = cpu // 2 * 2
        siblings = f"{first}-{first + 1}" if cpu < 4 else f"{cpu}"
        (topology / "core_cpus_list").write_text(f"{siblings}\n")
    (devices / "cpu_core").mkdir()
    (devices / "cpu_core" / "cpus").write_text("0-3\n")
    return tmp_path


@on_linux
@pytest.mark.parametrize(
    ("allowed", "usable", "fast"),
    [(range(8), 6, 2), ([0, 1], 1, 1), ([0, 2, 3, 5], 3, 2), ([4, 5, 6], 3, 3)],
)
def test_threads_are_counted_by_fast_cores(
    allowed: Sequence[int],
    usable: int,
    fast: int,
    hybrid: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(allowed))
    assert (usable_cores(hybrid), fast_cores(hybrid)) == (usable, fast)


@on_linux
def test_where_linux_tells_nothing_every_processor_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 7})
    assert (usable_cores(tmp_path), fast_cores(tmp_path)) == (3, 3)
    (tmp_path / "sys/devices/cpu_core").mkdir(parents=True)
    (tmp_path / "sys/devices/cpu_core/cpus").write_text("0-?\n")
    assert fast_cores(tmp_path) == 3


def write_kernel_files(root: Path, files: Mapping[str, str]) -> None:
    """What the kernel says of control groups: `own` and files below the mounted tree, `fs`."""
    for name, text in files.items():
        path = root / name.replace("own", "proc/self/cgroup").replace("fs/", "sys/fs/cgroup/", 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


@on_linux
@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"own": "0::/", "fs/cpu.max": "max 100000"}, 8),
        ({"own": "0::/", "fs/cpu.max": "300000 100000"}, 3),
        ({"own": "0::/", "fs/cpu.max": "250000 100000"}, 2),
        ({"own": "0::/", "fs/cpu.max": "50000 100000"}, 1),
        ({"own": "0::/a/b", "fs/a/cpu.max": "400000 100000", "fs/a/b/cpu.max": "max 100000"}, 4),
        ({"own": "0::/a/b", "fs/a/cpu.max": "200000 100000", "fs/a/b/cpu.max": "600000 100000"}, 2),
        # A container whose path is the host's: only the root of its own tree is there.
        ({"own": "0::/docker/0123", "fs/cpu.max": "500000 100000"}, 5),
        ({"own": "0::/", "fs/cpu.max": "?"}, 8),
        ({"own": "nothing known"}, 8),
        (
            {
                "own": "4:cpuset:/x\n3:cpu,cpuacct:/job",
                "fs/cpu,cpuacct/job/cpu.cfs_quota_us": "350000",
                "fs/cpu,cpuacct/job/cpu.cfs_period_us": "100000",
            },
            3,
        ),
        (
            {
                "own": "3:cpu:/",
                "fs/cpu/cpu.cfs_quota_us": "-1",
                "fs/cpu/cpu.cfs_period_us": "100000",
            },
            8,
        ),
    ],
)
def test_a_containers_quota_counts(
    files: dict[str, str], cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_kernel_files(tmp_path, files)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert usable_cores(tmp_path) == fast_cores(tmp_path) == cores


@pytest.fixture
def half_a_core() -> Iterator[Path]:
    """A control group of this machine with a quota of half a core."""
    parent = Path("/sys/fs/cgroup/cpu")
    if not parent.is_dir():
        parent = Path("/sys/fs/cgroup")
    group = parent / f"mimo_edge_test_{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"this user may not make control groups ({error})")
    try:
        if (group / "cpu.cfs_quota_us").exists():
            (group / "cpu.cfs_quota_us").write_text("50000")
        elif (group / "cpu.max").exists():
            (group / "cpu.max").write_text("50000 100000")
        else:
            pytest.skip("control groups here do not limit processor time")
        yield group
    finally:
        group.rmdir()


@on_linux
def test_a_real_quota_is_seen(half_a_core: Path) -> None:
    code = (
        "import os, pathlib, sys\n"
        "pathlib.Path(sys.argv[1], 'cgroup.procs').write_text(str(os.getpid()))\n"
        "from mimo_edge.system.cores import fast_cores, usable_cores\n"
        "print(usable_cores(), fast_cores())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(half_a_core)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["1", "1"], done.stderr
