"""Taking the model's own voice out of the microphone: WebRTC's echo canceller.

It learns how what is played comes back through the room, so it has to hear both sides.
The only module that imports livekit.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInputError, MissingPackageError

if TYPE_CHECKING:
    from livekit import rtc

__all__ = ["EchoCanceller"]

_FRAMES_PER_SECOND = 100  # the canceller works on 10 ms at a time
_INT16 = 32767


class EchoCanceller:
    """An echo canceller for one microphone and one speaker of the same rate.

    `played` and `captured` may be called from different threads. Feed both as it happens:
    what is played no later than its echo is captured, silence included.
    """

    def __init__(self, rate: int) -> None:
        """Make a canceller for sound of `rate` Hz.

        Raises:
            MimoEdgeError: its package is not installed, or the rate is not possible.
        """
        if rate < 8000 or rate % _FRAMES_PER_SECOND:
            raise BadInputError(
                f"echo cancellation at {rate} Hz is not possible; give a multiple of "
                f"{_FRAMES_PER_SECOND} Hz from 8000 Hz on."
            )
        try:
            from livekit import rtc
        except ImportError as error:
            raise MissingPackageError(
                f"echo cancellation needs livekit ({error}); install it with "
                "`pip install 'mimo-edge[echo]'`, or use headphones."
            ) from error
        self._frame_type = rtc.AudioFrame
        # Only the echo goes: noise suppression and gain control would change the voice that
        # the model hears.
        self._module = rtc.AudioProcessingModule(echo_cancellation=True)
        self._rate = rate
        self._frame = rate // _FRAMES_PER_SECOND
        self._far = np.zeros(0, dtype=np.float32)
        self._near = np.zeros(0, dtype=np.float32)
        self._lock = threading.Lock()

    def played(self, samples: NDArray[np.float32]) -> None:
        """Tell what goes to the speaker now: float32 [n] within ±1, mono, any n."""
        with self._lock:
            frames, self._far = self._whole_frames(self._far, samples)
            for frame in frames:
                self._module.process_reverse_stream(self._pack(frame))

    def captured(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take the echo out of the microphone's next samples: float32 [n], mono, any n.

        Returns float32 [m]: every whole frame of 10 ms that is complete now; the rest comes
        with the next call, so no sample is lost and none is later than 10 ms.
        """
        with self._lock:
            frames, self._near = self._whole_frames(self._near, samples)
            out = np.empty(frames.shape, dtype=np.float32)
            for index, frame in enumerate(frames):
                packed = self._pack(frame)
                # WebRTC wants to be told a delay before every frame and finds the true one by
                # itself. 0 is the safe hint: one that is too long lets most of the first
                # second's echo through, one that is too short little of it.
                self._module.set_stream_delay_ms(0)
                self._module.process_stream(packed)
                out[index] = np.frombuffer(packed.data, dtype=np.int16)
            return out.reshape(-1) / np.float32(_INT16)

    def _whole_frames(
        self, pending: NDArray[np.float32], samples: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(frames [n, frame], what is left for the next call)."""
        both = np.concatenate([pending, samples]).astype(np.float32, copy=False)
        whole = len(both) // self._frame * self._frame
        return both[:whole].reshape(-1, self._frame), both[whole:]

    def _pack(self, frame: NDArray[np.float32]) -> rtc.AudioFrame:
        values = np.rint(np.clip(frame, -1, 1) * _INT16).astype(np.int16)
        return self._frame_type(bytearray(values.tobytes()), self._rate, 1, self._frame)
