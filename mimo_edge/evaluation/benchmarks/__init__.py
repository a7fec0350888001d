"""The benchmarks that are known, by name."""

from __future__ import annotations

from ...errors import BadInputError
from ..items import Benchmark
from . import audio_questions, speech_mmlu, spoken_questions, transcripts

__all__ = ["BENCHMARKS", "benchmark"]

BENCHMARKS: dict[str, Benchmark] = {
    each.name: each
    for module in (speech_mmlu, audio_questions, spoken_questions, transcripts)
    for each in module.BENCHMARKS
}


def benchmark(name: str) -> Benchmark:
    """The benchmark of this name.

    Raises:
        MimoEdgeError: there is none; tells which there are.
    """
    if name not in BENCHMARKS:
        raise BadInputError(f"there is no benchmark {name!r}; known are {', '.join(BENCHMARKS)}.")
    return BENCHMARKS[name]
