"""How much anonymous memory a command and its children take at most (Linux)."""

import subprocess
import time
from pathlib import Path


def _anonymous(pid: int) -> int:
    """Bytes of RssAnon of one process; 0 once it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    for line in status.splitlines():
        if line.startswith("RssAnon:"):
            return 1024 * int(line.split()[1])
    return 0


def _tree(pid: int) -> list[int]:
    pids = [pid]
    for found in pids:
        try:
            for task in Path(f"/proc/{found}/task").iterdir():
                pids += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return pids


def peak_anonymous(command: list[str], **popen: object) -> tuple[int, int]:
    """Exit status, and the peak of the summed RssAnon of the process tree in bytes."""
    process = subprocess.Popen(command, **popen)  # type: ignore[call-overload]
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(_anonymous, _tree(process.pid))))
        time.sleep(0.02)
    return process.returncode, peak
