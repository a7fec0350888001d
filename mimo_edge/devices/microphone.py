"""The microphone: blocks of samples with the time at which they were spoken."""

from __future__ import annotations

import contextlib
import queue
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from ..audio import Mixer
from .device_stream import BLOCK_S, DeviceStream

__all__ = ["Block", "Microphone"]

_POLL_S = 0.1


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """`BLOCK_S` seconds of what the microphone heard, and when that was."""

    samples: NDArray[np.float32]
    """[n] at the microphone's `rate`."""
    at: float
    """When the first sample was recorded, in seconds of `time.monotonic()`."""
    end: float
    """When the last sample was."""


class Microphone(DeviceStream):
    """Mono sound of one input device as blocks of `BLOCK_S` at `rate`, whatever the device's rate.

    PortAudio's callback puts what came into a queue of `buffer_s` seconds and never waits: when
    nobody reads, the oldest is dropped. `read` is for one thread.
    """

    direction = "input"

    def __init__(
        self,
        wanted: str | int | None = None,
        rate: int = 24000,
        *,
        latency_s: float = 0.04,
        patience_s: float = 3.0,
        buffer_s: float = 10.0,
    ) -> None:
        """Open the device (index, name, part of one, None: the default one) and listen.

        Raises:
            MimoEdgeError: sounddevice or PortAudio is missing, there is no such device, or it
                does not open.
        """
        self._block_samples = round(BLOCK_S * rate)
        self.digital_silence_s = 0.0
        """Seconds of samples that are exactly 0, up to now: a muted microphone, or one that the
        system does not let this program hear."""
        self._queue: queue.Queue[tuple[NDArray[np.float32], float] | None]
        self._queue = queue.Queue(maxsize=max(2, round(buffer_s / BLOCK_S)))
        self._resampler: soxr.ResampleStream | None = None
        self._rest = np.zeros(0, dtype=np.float32)
        self._rest_end = 0.0
        self._mixer: Mixer | None = None
        super().__init__(wanted, rate, latency_s=latency_s, patience_s=patience_s)

    def read(self, timeout: float = 1.0) -> Block | None:
        """The next block; None if none came within `timeout` seconds, or after `close`.

        Raises:
            DeviceLost: the device is gone; `reopen()` may bring it back.
        """
        until = time.monotonic() + timeout
        while len(self._rest) < self._block_samples:
            self.check()
            left = until - time.monotonic()
            if self._closed or left <= 0:
                return None
            try:
                self._take(self._queue.get(timeout=min(left, _POLL_S)))
            except queue.Empty:
                continue
        return self._cut()

    def _take(self, entry: tuple[NDArray[np.float32], float] | None) -> None:
        """Bring what the device gave to `rate` and put it behind the rest of the last block."""
        if entry is None:  # only wakes `read`
            return
        samples, end = entry
        delay = 0.0
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples)
            delay = self._resampler.delay() / self.rate
        self._rest = np.concatenate([self._rest, samples])
        self._rest_end = end - delay

    def _cut(self) -> Block:
        samples, self._rest = np.split(self._rest, [self._block_samples])
        if samples.any():
            self.digital_silence_s = 0.0
        else:
            self.digital_silence_s += len(samples) / self.rate
        end = self._rest_end - len(self._rest) / self.rate
        return Block(samples=samples, at=end - len(samples) / self.rate, end=end)

    def _make(self, sounddevice: Any, arguments: dict[str, Any]) -> Any:
        # What was heard before the device was lost ends there.
        with contextlib.suppress(queue.Empty):
            while True:
                self._queue.get_nowait()
        self._rest = self._rest[:0]
        self._resampler = self._mixer = None
        if self.device_rate != self.rate:
            self._resampler = soxr.ResampleStream(self.device_rate, self.rate, 1, dtype="float32")
        return sounddevice.InputStream(callback=self._heard, **arguments)

    def _heard(self, data: NDArray[np.float32], frames: int, when: Any, status: Any) -> None:
        """PortAudio's callback, in its thread: `data` is float32 [frames, channels]."""
        now = self._sign_of_life = time.monotonic()
        # Of devices that do not know it, 0 or another clock.
        age = when.currentTime - when.inputBufferAdcTime
        begin = now - age if 0 <= age < 1 else now - frames / self.device_rate
        if self._mixer is None:
            self._mixer = Mixer(data.shape[1], self.device_rate)
        samples = self._mixer.mix(data.copy())  # the buffer is PortAudio's
        self._put((samples, begin + frames / self.device_rate))

    def _put(self, entry: tuple[NDArray[np.float32], float] | None) -> None:
        while True:
            try:
                return self._queue.put_nowait(entry)
            except queue.Full:
                with contextlib.suppress(queue.Empty):  # read meanwhile
                    self._queue.get_nowait()

    def _finished(self, stream: Any) -> None:
        super()._finished(stream)
        self._put(None)
