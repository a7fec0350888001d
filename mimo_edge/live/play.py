"""A finished piece of sound through the speaker."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from .device_stream import BLOCK_S
from .devices import choose_device
from .speaker import Speaker

__all__ = ["check_speaker", "play"]

_LOOK_S = 0.02
"""Between two looks at how far it came."""


def check_speaker() -> None:
    """Find out whether there is a speaker at all, before the work on what it shall play.

    Raises:
        NoSoundError: sounddevice or PortAudio is missing, or there is no speaker.
    """
    choose_device(None, "output")


def play(samples: NDArray[np.float32], rate: int) -> None:
    """Play float32 [samples] of `rate` Hz on the default speaker, and wait until it was heard.

    Raises:
        MimoEdgeError: the device does not open, or is lost meanwhile.
    """
    played = 0

    def pull(count: int) -> NDArray[np.float32]:
        nonlocal played
        piece = samples[played : played + count]
        played += len(piece)
        return piece

    with Speaker(pull, rate=rate) as speaker:
        while played < len(samples):
            speaker.check()
            time.sleep(_LOOK_S)
        time.sleep(speaker.latency + BLOCK_S)  # what was pulled last is still on its way
