"""What it costs to let speech be heard early.

The vocoder looks ahead. Sound that does not wait for all that it could see comes earlier and
differs from the offline decode; this measures by how much, on recordings that are encoded and
decoded again as a conversation decodes them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..audio import read_audio
from ..engine import Engine
from ..errors import BadInputError
from ..generation.sound import push_sizes
from ..stages.audio_tokenizer import DecoderStream

__all__ = ["LookaheadCost", "log_spectral_distance", "measure_lookahead", "seam_jumps"]

_NEAR_S = 0.005
"""On each side of a seam, what its jump is compared with."""
_QUIET = 1e-4
"""Jump (-80 dB) that is added to both sides, so that a seam in silence counts as none."""
_FLOOR = 1e-3
"""Of the largest magnitude, below which spectra are taken as equal (-60 dB)."""

Wave = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class LookaheadCost:
    """What one lookahead costs, over all recordings."""

    lookahead: int
    """Mel frames; as asked for, more than the vocoder can use count as all."""
    delay_seconds: float
    """Time between a code and its sound, decoding not counted."""
    offline_distance: float
    """Log-spectral distance to the offline decode, dB."""
    full_distance: float
    """Log-spectral distance to the stream that waits for all it can see, dB: the part of the other
    distance that is due to the short wait."""
    seam_jump: float
    """Mean step between the samples on both sides of a seam over that near it: 1 is no click."""
    largest_jump: float
    """The largest such ratio of all seams."""
    cost: float
    """Seconds of work per second of speech; the best of the runs."""


def measure_lookahead(
    engine: Engine, clips: Sequence[str], lookaheads: Sequence[int], *, push: int, runs: int = 1
) -> list[LookaheadCost]:
    """Every lookahead over all clips.

    Raises:
        MimoEdgeError: a recording cannot be read, or a number has no meaning.
    """
    if push < 1 or runs < 1:
        raise BadInputError(f"push is {push} and runs is {runs}; give 1 or more.")
    tokenizer, channels = engine.audio_tokenizer, engine.manifest.patch.channels
    recordings = []
    for clip in clips:
        codes = tokenizer.encode(read_audio(clip, engine.manifest.audio))[:, :channels]
        codes = np.ascontiguousarray(codes)
        recordings.append(_Recording(codes, tokenizer.decode(codes)))
    return [_measure(engine, recordings, frames, push, runs) for frames in lookaheads]


@dataclass(frozen=True)
class _Recording:
    codes: NDArray[np.int64]
    offline: Wave


def _measure(
    engine: Engine, recordings: Sequence[_Recording], frames: int, push: int, runs: int
) -> LookaheadCost:
    config = engine.manifest.audio
    offline, full, jumps, best = [], [], [], 0.0
    tokenizer, group = engine.audio_tokenizer, engine.manifest.patch.group_size
    waits = tokenizer.stream(frames)
    for recording in recordings:
        pieces = _pieces(waits, recording.codes, group, push)
        played = [_play(tokenizer.stream(frames), pieces) for _ in range(runs)]
        best += min(seconds for _, seconds in played)
        chunks = played[0][0]
        wave = np.concatenate(chunks)
        offline.append(log_spectral_distance(wave, recording.offline, config.n_fft))
        # In the same pieces, so that both have the same statistics to normalize with.
        patient = np.concatenate(_play(tokenizer.stream(), pieces)[0])
        full.append(log_spectral_distance(wave, patient, config.n_fft))
        jumps.append(seam_jumps(chunks, config.sample_rate))
    ratios = np.concatenate(jumps)
    samples = sum(len(recording.offline) for recording in recordings)
    return LookaheadCost(
        lookahead=frames,
        delay_seconds=waits.delay_frames * config.hop_length / config.sample_rate,
        offline_distance=float(np.mean(offline)),
        full_distance=float(np.mean(full)),
        seam_jump=float(ratios.mean()) if len(ratios) else 1.0,
        largest_jump=float(ratios.max()) if len(ratios) else 1.0,
        cost=best / (samples / config.sample_rate),
    )


def _pieces(
    stream: DecoderStream, codes: NDArray[np.int64], group: int, push: int
) -> list[NDArray[np.int64]]:
    """The codes in the pushes of a conversation."""
    pieces, at = [], 0
    for patches in push_sizes(stream, group, push):
        pieces.append(codes[at : at + patches * group])
        at += patches * group
        if at >= len(codes):
            return pieces
    raise AssertionError("the pushes have an end")


def _play(stream: DecoderStream, pieces: Sequence[NDArray[np.int64]]) -> tuple[list[Wave], float]:
    """(chunks of sound, seconds it took)."""
    start = time.perf_counter()
    chunks = [*(stream.push(piece) for piece in pieces), stream.finish()]
    return [chunk for chunk in chunks if len(chunk)], time.perf_counter() - start


def seam_jumps(chunks: Sequence[Wave], rate: int) -> NDArray[np.float64]:
    """Of every seam: the step from one chunk's last sample to the next one's first, over the
    mean step within 5 ms of it."""
    steps = np.abs(np.diff(np.concatenate(chunks).astype(np.float64)))
    near = round(_NEAR_S * rate)
    ratios = []
    for seam in np.cumsum([len(chunk) for chunk in chunks])[:-1] - 1:
        around = np.concatenate([steps[max(0, seam - near) : seam], steps[seam + 1 :][:near]])
        ratios.append((steps[seam] + _QUIET) / (around.mean() + _QUIET))
    return np.array(ratios)


def log_spectral_distance(found: Wave, expected: Wave, window_size: int) -> float:
    """Decibels: root mean square over frequencies, mean over windows a quarter apart."""
    window = np.hanning(window_size + 1)[:-1]
    first, second = (
        np.abs(np.fft.rfft(_windows(wave, window_size) * window, axis=1))
        for wave in (found, expected)
    )
    # Else frequencies in which there is nothing but rounding would outweigh all others.
    floor = _FLOOR * second.max() or 1.0
    ratio = 20 * np.log10((first + floor) / (second + floor))
    return float(np.sqrt(np.mean(ratio**2, axis=1)).mean())


def _windows(wave: Wave, size: int) -> Wave:
    padded = np.pad(wave, (0, max(0, size - len(wave))))
    return np.lib.stride_tricks.sliding_window_view(padded, size)[:: size // 4]
