"""Sound as it travels: base64 of signed 16-bit samples, little endian, one channel."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from ..requests.api_errors import ApiError

__all__ = ["PcmReader", "PcmWriter", "read_pcm"]

Samples = NDArray[np.float32]


def decode(text: str, param: str) -> bytes:
    """The bytes of base64, which may lack its padding.

    Raises:
        ApiError: it is none; `param` is named.
    """
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ApiError(
            400,
            f"{param}: it is not base64 ({len(text)} characters); give the samples as base64 of "
            "16-bit PCM.",
            code="invalid_base64",
            param=param,
        ) from error


def read_pcm(text: str, rate: int, target_rate: int, param: str) -> Samples:
    """One whole recording of `rate` Hz → float32 [n] at `target_rate` Hz.

    Raises:
        ApiError: it is not base64.
    """
    reader = PcmReader(rate, target_rate)
    return np.concatenate([reader.read(text, param), reader.finish()])


class PcmReader:
    """What a client sends piece by piece → samples of the model's rate.

    One resampler for all of it: begun anew at every piece, it would make a pop at every seam.
    """

    def __init__(self, rate: int, target_rate: int) -> None:
        self._rate, self._target_rate = rate, target_rate
        self._odd = b""
        """Half a sample that waits for the next piece."""
        self._resampler = _resampler(rate, target_rate)

    def read(self, text: str, param: str) -> Samples:
        """The next piece in base64, of any number of bytes → float32 [n].

        Raises:
            ApiError: it is not base64; then it counts as not sent.
        """
        data = self._odd + decode(text, param)
        whole = len(data) // 2 * 2
        self._odd = data[whole:]
        samples = np.frombuffer(data[:whole], dtype="<i2").astype(np.float32) / np.float32(32768)
        return _resample(self._resampler, samples, last=False)

    def finish(self) -> Samples:
        """What the resampler still holds, float32 [n]; the next piece begins something new."""
        rest = _resample(self._resampler, np.zeros(0, dtype=np.float32), last=True)
        self._odd, self._resampler = b"", _resampler(self._rate, self._target_rate)
        return rest


class PcmWriter:
    """An answer's samples → 16-bit samples of the client's rate; one for each answer."""

    def __init__(self, rate: int, target_rate: int) -> None:
        self._resampler = _resampler(rate, target_rate)

    def write(self, samples: Samples) -> NDArray[np.int16]:
        """The next float32 [n] within ±1, louder ones clipped → int16 [m]."""
        return _to_int16(_resample(self._resampler, samples, last=False))

    def finish(self) -> NDArray[np.int16]:
        """What the resampler still holds."""
        return _to_int16(_resample(self._resampler, np.zeros(0, dtype=np.float32), last=True))


def _resampler(rate: int, target_rate: int) -> Any:
    if rate == target_rate:
        return None
    return soxr.ResampleStream(rate, target_rate, 1, dtype="float32")


def _resample(resampler: Any, samples: Samples, *, last: bool) -> Samples:
    if resampler is None:
        return samples
    return np.asarray(resampler.resample_chunk(samples, last=last), dtype=np.float32)


def _to_int16(samples: Samples) -> NDArray[np.int16]:
    return np.round(np.clip(samples, -1, 32767 / 32768) * 32768).astype("<i2")
