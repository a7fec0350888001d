"""A turn that is heard while it is spoken: at its end only the encoder has to run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .audio import shorten_pauses
from .audio.mel_stream import StreamingLogMel
from .errors import BadInputError
from .hearing import Hearing

__all__ = ["Listener"]


class Listener:
    """Growing recordings in, patches out. Each call gets all of the turn so far; what the last
    one knew of it already is not computed again.
    """

    def __init__(self, hearing: Hearing) -> None:
        self._hearing = hearing
        self._heard: NDArray[np.float32]
        self._begin()

    def hear(self, samples: NDArray[np.float32]) -> None:
        """Compute log-mel frames of float32 [n], which the turn surely begins with."""
        samples = _checked(samples)
        known = self._mel.length
        if known > len(samples) or not np.array_equal(self._heard, samples[:known]):
            self._begin()
            known = 0
        self._frames.append(self._mel.push(samples[known:]))
        self._heard = samples

    def patches(self, samples: NDArray[np.float32]) -> NDArray[np.int64]:
        """The turn as the language model gets it: int64 [patches, group, channels].

        Raises:
            MimoEdgeError: it is silent, too short, or does not fit the context.
        """
        samples = _checked(samples)
        if not len(samples) or self._hearing.is_silent(samples):
            raise BadInputError("there was nothing to hear; speak louder or closer.")
        shorter = shorten_pauses(samples, self._hearing.manifest.audio.sample_rate)
        if len(shorter) < len(samples):  # a key was held longer than somebody spoke
            return self._hearing.listen_samples(shorter)
        self.hear(samples)
        return self._hearing.listen_mel(np.concatenate([*self._frames, self._mel.finish()]))

    def _begin(self) -> None:
        config = self._hearing.manifest.audio
        self._mel = StreamingLogMel(config)
        self._frames = [np.zeros((0, config.n_mels), dtype=np.float32)]
        self._heard = np.zeros(0, dtype=np.float32)


def _checked(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    if samples.ndim != 1 or samples.dtype.kind != "f" or not np.isfinite(samples).all():
        raise BadInputError(
            f"what is heard is {samples.dtype.name} of shape {samples.shape}, or not all of it "
            "are finite numbers; give one channel of floats within ±1, [samples]."
        )
    return samples.astype(np.float32, copy=False)
