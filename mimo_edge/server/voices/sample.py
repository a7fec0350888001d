"""What is kept of a recording of somebody's voice: the voice, and nothing around it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...audio import AudioInput, read_at, split_at_quiet
from ...audio.voice_activity import SileroDetector
from ...errors import BadInputError

__all__ = ["LONGEST_S", "clean_sample"]

LONGEST_S = 30.0
"""Of what is kept; more would fill the context of every conversation without saying more about
the voice."""
_LONGEST_UPLOAD_S = 300.0
_LEAST_VOICE_S = 1.0
_SILENCE = 1e-4
"""Peak amplitude (-80 dB) below which there is nothing to amplify."""

_VOICE = 0.5
"""Probability from which the detector's word is taken for voice."""
_AROUND_S = 0.2
"""Kept in front of the first and behind the last sound of voice: soft beginnings and endings."""
_LOUDNESS = 0.07
"""Root mean square (-23 dB) of the voice in what is kept: as loud as speech usually is."""
_MOST_GAIN = 10**1.5
"""Of amplitude, 30 dB: more would only bring up noise."""
_PEAK = 0.95
_BLOCK_S = 10.0
"""Of sound that the detector gets at once."""


def clean_sample(audio: AudioInput, rate: int) -> NDArray[np.float32]:
    """The voice in a recording: mono float32 [n] at `rate` Hz, of usual loudness, at most 30 s.

    What is before and behind the voice is left out. A longer recording ends at a quiet place.

    Raises:
        MimoEdgeError: it cannot be read, is longer than five minutes or silent, or holds less
            than a second of voice.
    """
    recording = read_at(audio, rate, longest_s=_LONGEST_UPLOAD_S)
    samples = recording.samples
    peak = float(np.abs(samples).max(initial=0))
    if peak < _SILENCE:
        raise BadInputError(
            f"the recording is silent (peak {peak:.6f} of 1); "
            "check that the microphone was not muted."
        )
    # The detector does not notice soft voices.
    samples = samples * np.float32(min(_MOST_GAIN, _PEAK / peak))
    voiced = _voiced(samples, rate)
    seconds = float(voiced.sum()) / rate
    if seconds < _LEAST_VOICE_S:
        raise BadInputError(
            f"the recording of {len(samples) / rate:.1f} s holds {seconds:.1f} s of voice; "
            f"give at least {_LEAST_VOICE_S:.0f} s, better 5 to 15, without music or noise."
        )
    begin, end = _edges(voiced, round(_AROUND_S * rate))
    kept = samples[begin:end]
    if len(kept) > LONGEST_S * rate:
        kept = next(iter(split_at_quiet(kept, rate, LONGEST_S)))
    return _levelled(kept, voiced[begin : begin + len(kept)])


def _voiced(samples: NDArray[np.float32], rate: int) -> NDArray[np.bool_]:
    """Of every sample, whether it belongs to voice."""
    voiced = np.zeros(len(samples), dtype=bool)
    detector, block, at = SileroDetector(rate), round(_BLOCK_S * rate), 0
    # Half a second of silence behind it, so that the detector is through with all of it.
    heard = np.concatenate([samples, np.zeros(rate // 2, dtype=np.float32)])
    for start in range(0, len(heard), block):
        for chunk in detector.feed(heard[start : start + block]):
            if chunk.probability >= _VOICE:
                voiced[at : at + chunk.samples] = True
            at += chunk.samples
    return voiced


def _edges(voiced: NDArray[np.bool_], around: int) -> tuple[int, int]:
    """From where to where something is kept."""
    where = np.flatnonzero(voiced)
    return max(0, int(where[0]) - around), min(len(voiced), int(where[-1]) + 1 + around)


def _levelled(samples: NDArray[np.float32], voiced: NDArray[np.bool_]) -> NDArray[np.float32]:
    """As loud as speech usually is, without clipping."""
    voice = samples[voiced] if voiced.any() else samples
    loudness = float(np.sqrt(np.mean(voice**2)))
    peak = float(np.abs(samples).max())
    return samples * np.float32(min(_LOUDNESS / loudness, _PEAK / peak))
