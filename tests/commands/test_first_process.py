"""The program as the first process of a container, which the system keeps from signals."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

UNSHARE = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child")
END = "os.kill(os.getpid(), signal.SIGTERM); time.sleep(0.2); print('goes on')"
IMPORTING = f"""
import os, signal, time
from mimo_edge.commands.signals import deadly, unwind
unwind()
with deadly():
    {END}
"""
STARTING = f"""
import importlib, os, signal, time
from mimo_edge.entry import start
def slow(name):
    {END}
importlib.import_module = slow
start("mimo_edge.commands.cli", "cli")
"""


@pytest.mark.parametrize("script", [STARTING, IMPORTING])
def test_a_signal_ends_it_while_it_starts(script: str) -> None:
    """`docker stop` would wait for ten seconds, and then kill it."""
    if (
        sys.platform != "linux"
        or subprocess.run([*UNSHARE, "true"], capture_output=True).returncode
    ):
        pytest.skip("needs Linux' namespaces")
    done = subprocess.run(
        [*UNSHARE, sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (128 + signal.SIGTERM, ""), done.stderr
