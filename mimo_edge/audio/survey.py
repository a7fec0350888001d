"""A recording that was gone through once: how long it is, whether it holds anything, its pauses."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .passages import Passages
from .pauses import Loudness
from .quiet import cut_at_quiet
from .sound import LONGEST_S, AudioInput, Sound, open_sound
from .timeline import Timeline

__all__ = ["CutPart", "SurveyedSound", "surveyed"]

_KEPT_S = 300.0
"""Of shorter recordings the samples are kept, 29 MB at 24 kHz; longer ones are decoded again."""
_READ_S = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class CutPart:
    """A part of a recording, without the middle of its pauses."""

    samples: NDArray[np.float32]
    """Mono [n]."""
    begin: int
    end: int
    """Where in the recording, in samples, pauses included."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SurveyedSound:
    """A recording whose pauses are known; it can be cut until its source is closed."""

    sound: Sound
    samples: int
    """How many it has at `sound.rate`."""
    peak: float
    """Largest amplitude; full scale is 1."""
    digest: str
    """SHA-256 of its samples, hexadecimal: the same for the same sound, whatever its file."""
    stretches: list[tuple[int, int]] = field(repr=False)
    """What `kept_stretches` keeps of it."""

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.samples / self.sound.rate

    def cut(self, longest_s: float, rest_s: float) -> Iterator[CutPart]:
        """Parts of at most `longest_s` seconds of sound, cut in its pauses of more than `rest_s`
        seconds, else where it is quiet; one after the other, never all in memory.

        Raises:
            MimoEdgeError: it cannot be read any more.
        """
        rate = self.sound.rate
        timeline = Timeline(self.stretches)
        passages = Passages(self.sound.blocks())
        kept = sum(end - begin for begin, end in self.stretches)
        left = iter(self.stretches)
        start = 0
        for stop in [*timeline.breaks(round(rest_s * rate)), kept]:
            blocks = self._kept_blocks(passages, left, stop - start)
            for samples in cut_at_quiet(blocks, rate, longest_s):
                begin, end = timeline.span(start, start + len(samples))
                yield CutPart(samples=samples, begin=begin, end=end)
                start += len(samples)

    def _kept_blocks(
        self, passages: Passages, left: Iterator[tuple[int, int]], count: int
    ) -> Iterator[NDArray[np.float32]]:
        """The next `count` samples that are kept, which end where a stretch ends."""
        step = round(_READ_S * self.sound.rate)
        while count > 0:
            begin, end = next(left)
            count -= end - begin
            for at, behind in itertools.pairwise([*range(begin, end, step), end]):
                yield passages.take(at, behind)


@contextlib.contextmanager
def surveyed(
    source: AudioInput, rate: int, *, longest_s: float = LONGEST_S
) -> Iterator[SurveyedSound]:
    """Go through a recording, at `rate` Hz, and know its pauses until the end of the block.

    Raises:
        MimoEdgeError: as `read_audio`; of a recording without a sample not.
    """
    with open_sound(source, rate, longest_s=longest_s, kept_s=_KEPT_S) as sound:
        loudness, digest = Loudness(rate), hashlib.sha256()
        samples, peak = 0, 0.0
        for block in sound.blocks():
            loudness.add(block)
            digest.update(np.ascontiguousarray(block).data)
            peak = max(peak, float(np.abs(block).max()))
            samples += len(block)
        yield SurveyedSound(
            sound=sound,
            samples=samples,
            peak=peak,
            digest=digest.hexdigest(),
            stretches=loudness.kept_stretches(sound.blocks) if samples else [],
        )
