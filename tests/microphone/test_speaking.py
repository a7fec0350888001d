"""`mimo-edge speak` through a virtual speaker."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.tools.sound_server import RATE, SoundServer

pytestmark = pytest.mark.microphone


def test_speech_is_heard_whole(sound_server: SoundServer, tmp_path: Path) -> None:
    """As long as in the file, to its end."""
    path = tmp_path / "a.wav"
    command = [sys.executable, "-m", "mimo_edge", "speak", "Seven plus five is twelve"]
    with sound_server.capture() as capture:
        done = subprocess.run(
            [*command, "--seed", "1", "--play", "-o", str(path)],
            env={**os.environ, **sound_server.environment},
            capture_output=True,
            text=True,
            timeout=120,
        )
        time.sleep(0.5)
    assert done.returncode == 0, done.stderr
    written, rate = soundfile.read(path)

    def length(samples: np.ndarray, hz: int) -> float:
        loud = np.flatnonzero(np.abs(samples) > 0.02)
        return float(loud[-1] - loud[0]) / hz

    assert length(capture.samples, RATE) == pytest.approx(length(written, rate), abs=0.05)
