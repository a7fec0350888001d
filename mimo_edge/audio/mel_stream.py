"""Log-mel of a recording that still goes on, so that at its end only the encoder has to run."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..bundle.manifest import AudioConfig
from ..errors import BadInputError
from .mel import MEL_BLOCK, log_mel, mel_frames
from .reading import check_length

__all__ = ["StreamingLogMel", "log_mel_segments"]


def log_mel_segments(
    samples: NDArray[np.float32], config: AudioConfig, frames: int
) -> Iterator[NDArray[np.float32]]:
    """The log-mel of samples float32 [n] in pieces float32 [at most `frames`, n_mels].

    Frames take twice the memory of their samples, so those of hours of sound are never all there
    at once.
    """
    if len(samples) < frames * config.hop_length:
        yield log_mel(samples, config)
        return
    stream = StreamingLogMel(config)
    mel = np.zeros((0, config.n_mels), dtype=np.float32)
    block = frames * config.hop_length
    for start in range(0, len(samples), block):
        mel = np.concatenate([mel, stream.push(samples[start : start + block])])
        if start + block >= len(samples):
            mel = np.concatenate([mel, stream.finish()])
        while len(mel) >= frames:
            yield mel[:frames]
            mel = mel[frames:]
    if len(mel):
        yield mel


class StreamingLogMel:
    """Makes the log-mel of a recording that still goes on.

    Its frames are to the last bit those that `log_mel` makes of the whole recording, however the
    samples are cut into pushes.

    Keeps at most a quarter of a second of sound besides what one `push` brings; the frames,
    51 kB a second in the released model, are the caller's to keep.
    """

    def __init__(self, config: AudioConfig) -> None:
        self._config = config
        self._edge = config.n_fft // 2
        self._frames = 0  # that were given out
        self._begin = 0  # number of the first of `_samples`, in the sound with its edges
        self._samples = np.zeros(0, dtype=np.float32)
        self.length = 0
        """How many samples were pushed so far."""

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Samples float32 [n] at the bundle's rate → new frames float32 [frames, n_mels].

        Frames come 16 at a time (160 ms), maybe none; the last ones come from `finish`.

        Raises:
            MimoEdgeError: more than one channel, NaN or infinity.
        """
        if samples.ndim != 1 or not np.isfinite(samples).all():
            raise BadInputError(
                f"the samples to listen to have shape {samples.shape} or are not all finite "
                "numbers; give one channel, [samples]."
            )
        had_edge = self.length > self._edge
        self._samples = np.concatenate([self._samples, samples.astype(np.float32, copy=False)])
        self.length += len(samples)
        if self.length <= self._edge:
            return self._mel(self._samples, 0)
        if not had_edge:
            reflected = self._samples[self._edge : 0 : -1]
            self._samples = np.concatenate([reflected, self._samples])
        known = self.length + self._edge
        count = (known - self._config.n_fft) // self._config.hop_length + 1 - self._frames
        mel = self._mel(self._samples, max(0, count) // MEL_BLOCK * MEL_BLOCK)
        self._frames += len(mel)
        self._forget()
        return mel

    def finish(self) -> NDArray[np.float32]:
        """The frames that are missing if the recording ends here, float32 [frames, n_mels].

        Changes nothing: a pause may turn out not to be the end, then `push` goes on.

        Raises:
            MimoEdgeError: too short a recording.
        """
        check_length("the recording", self.length, self._config)
        reflected = self._samples[-self._edge - 1 : -1][::-1]
        count = 1 + self.length // self._config.hop_length - self._frames
        return self._mel(np.concatenate([self._samples, reflected]), count)

    def _mel(self, samples: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """The next frames; `samples` begin where `_samples` do."""
        start = self._frames * self._config.hop_length - self._begin
        return mel_frames(samples[start:], count, self._config)

    def _forget(self) -> None:
        """Drop samples that neither the next frame nor the reflection at the end needs."""
        begin = min(self._frames * self._config.hop_length, self.length - 1)
        self._samples = self._samples[begin - self._begin :].copy()
        self._begin = begin
