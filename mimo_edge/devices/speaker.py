"""The speaker: asks for samples whenever the device wants some."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from .device_stream import DeviceStream

__all__ = ["CALM_S", "QUICK_S", "Pull", "Speaker"]

CALM_S, QUICK_S = 0.1, 0.03
"""Seconds of sound that the device is asked to hold ahead: enough for a busy processor; little,
so that who speaks over an answer does not hear it for long."""
_MOST_UNDERFLOWS = 3

Pull = Callable[[int], NDArray[np.float32]]
"""The next n samples to play, float32 [n]; fewer are filled up with silence."""


class Speaker(DeviceStream):
    """Mono sound for one output device, pulled in blocks of `BLOCK_S` at `rate`.

    `pull` runs in the sound system's thread: it must return at once, and never wait for a lock
    that anybody holds for long. What it raises is raised again by `check`.
    """

    direction = "output"

    def __init__(
        self,
        pull: Pull,
        wanted: str | int | None = None,
        rate: int = 24000,
        *,
        latency_s: float = CALM_S,
        patience_s: float = 3.0,
    ) -> None:
        """Open the device (index, name, part of one, None: the default one) and play.

        `latency_s` is the sound that the device holds ahead: more outlasts a busy processor,
        less can be stopped sooner.

        Raises:
            MimoEdgeError: sounddevice or PortAudio is missing, there is no such device, or it
                does not open.
        """
        self.underflows = 0
        """How often the device ran dry, because this program was too slow, since it was opened
        or `calm` was called."""
        self._pull = pull
        self._failure: Exception | None = None
        self._resampler: soxr.ResampleStream | None = None
        self._rest = np.zeros(0, dtype=np.float32)
        """Samples at the device's rate that were pulled and are not yet played."""
        self._ahead = 0.0
        super().__init__(wanted, rate, latency_s=latency_s, patience_s=patience_s)

    @property
    def latency(self) -> float:
        """Seconds from pulling a sample to hearing it, as far as the sound system knows.

        What was pulled longer ago than that was heard.
        """
        return self._ahead

    @property
    def hurried(self) -> bool:
        """Whether the device ran dry several times and could hold more sound ahead; see `calm`."""
        return self.underflows >= _MOST_UNDERFLOWS and self._latency_s < CALM_S

    def calm(self) -> None:
        """Open the device again with `CALM_S` of sound ahead; what it holds now is lost.

        Raises:
            DeviceLost: meanwhile it is gone.
        """
        self._latency_s = CALM_S
        self.underflows = 0
        self.reopen()

    def check(self) -> None:
        """Raise DeviceLost if the device is gone, or whatever `pull` raised."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        super().check()

    def _make(self, sounddevice: Any, arguments: dict[str, Any]) -> Any:
        self._rest = self._rest[:0]
        self._resampler = None
        if self.device_rate != self.rate:
            self._resampler = soxr.ResampleStream(self.rate, self.device_rate, 1, dtype="float32")
        stream = sounddevice.OutputStream(callback=self._wanted_by_device, **arguments)
        self._ahead = stream.latency
        return stream

    def _wanted_by_device(
        self, out: NDArray[np.float32], frames: int, when: Any, status: Any
    ) -> None:
        """PortAudio's callback, in its thread: fills `out`, float32 [frames, channels]."""
        self._sign_of_life = time.monotonic()
        if status.output_underflow:
            self.underflows += 1
        ahead = when.outputBufferDacTime - when.currentTime
        if 0 < ahead < 2:  # else the device does not know, and the stream's figure stays
            held = len(self._rest) / self.device_rate
            if self._resampler is not None:
                held += self._resampler.delay() / self.device_rate
            self._ahead = ahead + held
        try:
            out[:] = self._next(frames)[:, None]
        except Exception as error:  # out of here it would end the stream without a word
            self._failure = error
            out[:] = 0

    def _next(self, frames: int) -> NDArray[np.float32]:
        """The next `frames` samples at the device's rate."""
        if self._resampler is None:
            return _exactly(self._pull(frames), frames)
        while len(self._rest) < frames:
            count = math.ceil((frames - len(self._rest)) * self.rate / self.device_rate)
            chunk = self._resampler.resample_chunk(_exactly(self._pull(count), count))
            self._rest = np.concatenate([self._rest, chunk])
        samples, self._rest = np.split(self._rest, [frames])
        return samples


def _exactly(samples: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return the first `count` samples, float32 [count], filled up with silence."""
    samples = np.asarray(samples[:count], dtype=np.float32)
    return np.pad(samples, (0, count - len(samples))) if len(samples) < count else samples
