"""Programs end, whatever the sound system does and whatever they forgot."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from tests.tools.sound_server import SoundServer

pytestmark = pytest.mark.microphone

_OPEN = """
import sys
import numpy as np
from mimo_edge.devices.microphone import Microphone
from mimo_edge.devices.speaker import Speaker

microphone = Microphone()
speaker = Speaker(lambda count: np.zeros(count, dtype=np.float32))
assert microphone.read(timeout=5) is not None
print("open", flush=True)
sys.stdin.readline()
"""


def start(server: SoundServer, code: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **server.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


def end(process: subprocess.Popen[str]) -> tuple[int, float]:
    """(exit status, seconds that ending took)."""
    begin = time.monotonic()
    try:
        process.communicate("\n", timeout=20)
    finally:
        process.kill()
    return process.returncode, time.monotonic() - begin


def test_exit_with_open_streams(sound_server: SoundServer) -> None:
    status, seconds = end(start(sound_server, _OPEN))
    assert status == 0
    assert seconds < 3


def test_exit_while_the_sound_server_hangs(sound_server: SoundServer) -> None:
    process = start(sound_server, _OPEN + "microphone.close(); microphone.close()")
    with sound_server.frozen():
        status, seconds = end(process)
    assert status == 0
    assert seconds < 8, "two seconds for each of the two streams"
