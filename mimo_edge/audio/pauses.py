"""Long pauses of a recording are shortened, as the microphone's turns are cut at their end.

Models of speech are trained on utterances that begin and end with speech; seconds of silence
or of a room's noise behind it make them invent words or forget some. Of every stretch in which
there is nothing to hear, only its edges stay. Shorter pauses belong to the speech.

How loud it is has to be known of the whole recording, one number for each frame; the samples of
its pauses are then looked at once more, for soft voices. So it need not be in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingPackageError
from .passages import Passages
from .voice_activity import SileroDetector

__all__ = ["Loudness", "keep", "kept_stretches", "shorten_pauses"]

_LONGEST_PAUSE_S = 1.0
"""Measured on the demo model: a second of silence behind a question changes no word."""
_REST_S = 0.4
"""Of a longer pause, what stays behind the sound before it: soft endings and reverberation."""
_PRE_ROLL_S = 0.3
"""What stays in front of the sound after it, as in live turns."""

_FRAME_S = 0.032
_SYLLABLE = 6
"""Frames, 0.2 s: over which loudness is averaged, so that a click is not the loudest and noise is
even."""
_FLOOR_SHARE = 10
"""Percentile of the frames' energies that counts as the recording's own noise."""
_ABOVE_FLOOR = 10**0.6
"""6 dB: what is louder than the noise by that is heard."""
_VOICE = 0.35
"""Probability of voice from which somebody may be speaking; below it live turns end."""
_LEAD_S = 0.5
"""Sound before a pause that the detector hears first."""

_LOUDNESS = 0.05
"""Root mean square (-26 dB) to which the loudest syllable of a pause is brought for the detector,
which does not notice soft voices."""
_MOST_GAIN = 10**1.5
"""Of amplitude, 30 dB: more would only bring up noise."""
_INAUDIBLE = 1e-4
"""Root mean square (-80 dB) of a pause that no detector has to look at."""
_BLOCK_S = 10.0
"""Of sound that the detector gets at once."""


class _Quiet(NamedTuple):
    """Two levels of loudness over that of the loudest syllable, between which noise decides."""

    surely: float
    """Softer than this is quiet, even where the recording has no noise of its own."""
    perhaps: float
    """Louder than this is not quiet, however noisy the recording is."""


_WITH_DETECTOR = _Quiet(10**-2.0, 10**-0.6)
"""20 and 6 dB: voice is found by the detector, this is for sounds that are none."""
_BY_LEVEL = _Quiet(10**-4.5, 10**-1.2)
"""45 and 12 dB: somebody may be speaking softly, or in a noisy room."""


def shorten_pauses(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Mono float32 [n] at `rate` Hz, without the middle of its pauses; the same array if there
    is none longer than a second.
    """
    return keep(samples, kept_stretches(samples, rate))


def keep(samples: NDArray[np.float32], stretches: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
    """The stretches of a recording, joined; a view of it where there is one."""
    if len(stretches) == 1:
        begin, end = stretches[0]
        return samples if (begin, end) == (0, len(samples)) else samples[begin:end]
    return np.concatenate([samples[begin:end] for begin, end in stretches])


def kept_stretches(samples: NDArray[np.float32], rate: int) -> list[tuple[int, int]]:
    """What `shorten_pauses` keeps: (begin, end) in samples, in order, none of them empty.

    A pause is where it is quiet, compared with the recording's loudest syllable and its own
    noise, and where nobody speaks: the latter by the voice detector if it is installed
    (`mimo-edge[microphone]`), else by a stricter level. Sounds that are no speech are kept.
    """
    loudness = Loudness(rate)
    loudness.add(samples)
    return loudness.kept_stretches(lambda: iter([samples]))


class Loudness:
    """How loud a recording is from frame to frame, learned while it is read the first time."""

    def __init__(self, rate: int) -> None:
        """Of mono sound of `rate` Hz."""
        self._rate = rate
        self._frame = max(1, round(_FRAME_S * rate))
        self._energies: list[NDArray[np.float32]] = []
        self._rest = np.zeros(0, np.float32)
        self._samples = 0

    def add(self, block: NDArray[np.float32]) -> None:
        """Hear the next samples, float32 [n]."""
        self._samples += len(block)
        held = np.concatenate([self._rest, block]) if len(self._rest) else block
        whole = len(held) // self._frame
        frames = held[: whole * self._frame].reshape(whole, self._frame)
        self._energies.append(np.einsum("ij,ij->i", frames, frames) / np.float32(self._frame))
        self._rest = held[whole * self._frame :]

    def kept_stretches(
        self, blocks: Callable[[], Iterator[NDArray[np.float32]]]
    ) -> list[tuple[int, int]]:
        """Of the sound that was heard, as `kept_stretches` of samples; `blocks` gives all of it
        once more, and is called where somebody may be speaking softly in a pause."""
        energy, frame = self._around(), self._frame
        quiet = _quiet(energy, _WITH_DETECTOR)
        longest = _LONGEST_PAUSE_S * self._rate / frame
        gaps = [(begin, end) for begin, end in _runs(quiet) if end - begin > longest]
        if not gaps:
            return [(0, self._samples)]
        try:
            for (begin, end), voiced in self._voices(gaps, energy, blocks):
                quiet[begin:end] &= ~voiced
        except MissingPackageError:  # no detector: the level alone decides
            quiet = _quiet(energy, _BY_LEVEL)
        if quiet.all():  # nothing that one could tell from noise
            return [(0, self._samples)]
        return _without(self._samples, quiet, frame, self._rate)

    def _around(self) -> NDArray[np.float32]:
        """Of every frame, the mean square of the syllable around it."""
        energy = np.concatenate(self._energies)
        if len(self._rest):
            energy = np.append(energy, np.mean(self._rest**2))
        around = np.ones(_SYLLABLE)
        counts = np.convolve(np.ones(len(energy)), around, mode="same")
        return np.asarray(np.convolve(energy, around, mode="same") / counts, dtype=np.float32)

    def _voices(
        self,
        gaps: Sequence[tuple[int, int]],
        energy: NDArray[np.float32],
        blocks: Callable[[], Iterator[NDArray[np.float32]]],
    ) -> Iterator[tuple[tuple[int, int], NDArray[np.bool_]]]:
        """Of the gaps (in frames) that are not as good as silent: of every frame, whether somebody
        may be speaking in it."""
        frame, lead = self._frame, round(_LEAD_S * self._rate)
        detector = passages = None  # one for all: to load it takes as long as a second of sound
        for begin, end in gaps:
            loudest = float(np.sqrt(energy[begin:end].max()))
            if loudest < _INAUDIBLE:
                continue
            detector = detector or SileroDetector(self._rate)
            passages = passages or Passages(blocks(), back=lead)
            stretch = begin * frame, min(end * frame, self._samples)
            gain = min(_MOST_GAIN, _LOUDNESS / loudest)
            yield (begin, end), _voiced(detector, passages, self._rate, *stretch, frame, gain)


def _quiet(energy: NDArray[np.float32], bounds: _Quiet) -> NDArray[np.bool_]:
    """Of every frame, whether there is nothing to hear by its level."""
    loudest = float(energy.max())
    noise = _ABOVE_FLOOR * float(np.percentile(energy, _FLOOR_SHARE))
    level = min(max(noise, bounds.surely * loudest), bounds.perhaps * loudest)
    quiet: NDArray[np.bool_] = energy <= level
    return quiet


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(begin), int(end)) for begin, end in edges.reshape(-1, 2)]


def _voiced(
    detector: SileroDetector,
    passages: Passages,
    rate: int,
    begin: int,
    end: int,
    frame: int,
    gain: float,
) -> NDArray[np.bool_]:
    """Of every frame between two places, whether somebody may be speaking in it, so softly that
    it has to be made louder to be noticed.
    """
    lead = max(0, begin - round(_LEAD_S * rate))
    voiced = np.zeros(-(-(end - begin) // frame), dtype=bool)
    block, at = round(_BLOCK_S * rate), lead - begin
    detector.reset()
    for start in range(lead, end, block):
        for chunk in detector.feed(gain * passages.take(start, min(start + block, end))):
            if chunk.probability >= _VOICE and at >= 0:
                voiced[at // frame : (at + chunk.samples) // frame + 1] = True
            at += chunk.samples
    return voiced


def _without(
    samples: int, quiet: NDArray[np.bool_], frame: int, rate: int
) -> list[tuple[int, int]]:
    """What is left of so many samples without the middle of the long quiet stretches."""
    pauses = [(first * frame, min(last * frame, samples)) for first, last in _runs(quiet)]
    longest, kept, start = round(_LONGEST_PAUSE_S * rate), [], 0
    for begin, end in pauses:
        if end - begin <= longest:
            continue
        rest = 0 if begin == 0 else round(_REST_S * rate)
        pre_roll = 0 if end == samples else round(_PRE_ROLL_S * rate)
        kept.append((start, begin + rest))
        start = end - pre_roll
    kept.append((start, samples))
    return [(begin, end) for begin, end in kept if begin < end]
