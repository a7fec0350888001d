"""Python code in a process of its own, so that a crash or a hang of a native library is seen."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_PATIENCE_S = 120


@dataclass(frozen=True)
class Child:
    """What a process left."""

    status: int
    """Below 0: the signal that ended it."""
    out: str
    err: str


def run_child(
    code: str,
    *arguments: object,
    environment: Mapping[str, str] | None = None,
    limit: int | None = None,
) -> Child:
    """Run code that finds `arguments` in `sys.argv[1:]`; a hang is a failed test.

    `limit` is the most address space that it gets, in bytes (not on Windows).
    """
    if limit is not None:
        code = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({limit},) * 2)\n{code}"
    values = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env=values,
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
    )
    return Child(done.returncode, done.stdout, done.stderr)
