"""Speech through the speaker while it is generated."""

from __future__ import annotations

import time
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from ..dialogue.playback import Playback
from .choice import choose_device
from .device_stream import BLOCK_S
from .speaker import Speaker

__all__ = ["Loudspeaker", "check_speaker"]

_LOOK_S = 0.02
"""Between two looks at how far it came."""


def check_speaker() -> None:
    """Find out whether there is a speaker, before anything is generated for it.

    Raises:
        NoSoundError: sounddevice or PortAudio is missing, or there is no speaker.
    """
    choose_device(None, "output")


class Loudspeaker:
    """Plays one piece of speech on the default speaker, while it is still being generated.

    It begins as soon as the rest comes fast enough to play without a gap.

        with Loudspeaker(24000) as loudspeaker:
            loudspeaker.push(samples)  # several times

    At the end of the block it waits until everything was heard; after an error it does not.
    """

    def __init__(self, rate: int) -> None:
        """Open the device, for sound of `rate` Hz.

        Raises:
            MimoEdgeError: it does not open.
        """
        self._playback = Playback(rate)
        self._playback.begin()
        self._speaker = Speaker(self._playback.pull, rate=rate)

    def push(self, samples: NDArray[np.float32]) -> None:
        """Play the next samples, float32 [n], after those before; returns at once.

        Raises:
            DeviceLost: the device is gone.
        """
        self._speaker.check()
        self._playback.push(samples, time.monotonic())

    def _finish(self) -> None:
        self._playback.finish()
        while self._playback.state != "idle":
            self._speaker.check()
            time.sleep(_LOOK_S)
        time.sleep(self._speaker.latency + BLOCK_S)  # what was pulled last is on its way

    def __enter__(self) -> Loudspeaker:
        """Return the loudspeaker, whose device is open already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait until all sound was heard, unless there was an error, and close the device."""
        try:
            if error is None:
                self._finish()
        finally:
            self._speaker.close()
