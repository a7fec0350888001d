"""The small set of questions in the demo model's words, and who answers them.

`python -m training.benchmark tests/data/eval` makes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mimo_edge.bundle.default_bundle import find_bundle
from mimo_edge.evaluation.benchmarks import benchmark
from mimo_edge.evaluation.judge import Recognizer, own_judge
from mimo_edge.evaluation.results import Results, ResultsFile
from mimo_edge.evaluation.running import Progress, Runner, RunOptions, drawn, head_of, run
from mimo_edge.evaluation.scores import Score, all_scores
from mimo_edge.model import MimoAudio
from mimo_edge.stages.machine.runtime_options import RuntimeOptions
from tests.tools.exact_demo import load_exact_demo

DATA = Path(__file__).parent.parent / "data" / "eval"


@pytest.fixture(scope="session")
def demo() -> Iterator[MimoAudio]:
    with MimoAudio.load(find_bundle(None)) as model:
        yield model


@pytest.fixture(scope="session")
def exact() -> Iterator[MimoAudio]:
    """The demo model in float32: its words are sure."""
    with load_exact_demo() as model:
        yield model


@pytest.fixture(scope="session")
def broken(default_bundle: Path) -> Iterator[MimoAudio]:
    """A model of random weights."""
    options = RuntimeOptions(threads=1, context=1024, device="cpu")
    with MimoAudio.load(default_bundle, options) as model:
        yield model


def no_progress(done: int, count: int, left: float | None) -> None:
    """Nobody watches."""


def examine(
    model: MimoAudio,
    name: str,
    file: Path,
    *,
    data: Path = DATA,
    options: RunOptions | None = None,
    limit: int | None = None,
    recognizer: Recognizer | None = None,
    parallel: int = 4,
    progress: Progress = no_progress,
) -> Results:
    """The results of a benchmark, which go into a file."""
    how, of = options or RunOptions(), benchmark(name)
    items = of.load(data, how.shots)
    runner = Runner(model, of, how, recognizer or own_judge(model))
    with ResultsFile(file, head_of(of, items, model.manifest, how)) as results:
        run(runner, drawn(items, limit, 0), results, parallel=parallel, progress=progress)
        return results.read()


def score_of(results: Results) -> Score:
    """The figure of all items."""
    return all_scores(results, benchmark(results.task).measure)[0]
