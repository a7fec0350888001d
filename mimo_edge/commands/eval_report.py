"""What `mimo-edge eval` prints: tables for people, lines of JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from ..evaluation.benchmarks import benchmark
from ..evaluation.comparison import Comparison
from ..evaluation.picture import Bar
from ..evaluation.published import PUBLISHED, modality_gap
from ..evaluation.results import Results
from ..evaluation.scores import Score, all_scores
from .console import Console, print_table

__all__ = ["bars_of", "print_comparisons", "print_scores", "record_comparisons", "record_scores"]

_COLUMNS = ("benchmark", "items", "score", "95% interval", "unclear", "failed", "published")
_PUBLISHED_GAP = 3.4
_CERTAIN = 0.05


def record_scores(console: Console, results: Sequence[Results]) -> None:
    """Every score as a line of JSON, if that is asked for."""
    for each in results:
        for score in all_scores(each, benchmark(each.task).measure):
            published = None if score.subject else PUBLISHED.get(each.task)
            console.record(
                benchmark=each.task,
                measure=benchmark(each.task).measure,
                **asdict(score),
                published=published.percent if published else None,
                published_of=published.of if published else None,
                bundle=each.head["bundle"],
                options=each.head["options"],
                results=str(each.path),
            )


def print_scores(console: Console, results: Sequence[Results]) -> None:
    """A table of all scores, subjects below their benchmark."""
    rows = []
    for each in results:
        for score in all_scores(each, benchmark(each.task).measure):
            name = f"  {score.subject}" if score.subject else each.task
            published = None if score.subject else PUBLISHED.get(each.task)
            shown = f"{published.percent:.1f}% ({published.of})" if published else ""
            rows.append((name, *_figures(score), shown))
    print_table(_COLUMNS, rows)
    for each in results:
        mean = all_scores(each, benchmark(each.task).measure)[0].mean_of_items
        if mean is not None:
            console.note(
                f"{each.task}: word errors ÷ words; the mean of the items' rates, as the public "
                f"toolkit prints it, is {mean:.1%}"
            )
    _note_gap(console, results)
    if any(each.task in PUBLISHED for each in results):
        console.note(
            "published: the released model in bfloat16, on the whole of the published data, judged "
            "by Whisper; another model or other questions are not comparable"
        )


def _figures(score: Score) -> tuple[str, ...]:
    return (
        str(score.items),
        f"{score.value:.1%}",
        f"{100 * score.low:.1f} to {100 * score.high:.1f}",
        str(score.unclear or ""),
        str(score.failed or ""),
    )


def _note_gap(console: Console, results: Sequence[Results]) -> None:
    values = {each.task: all_scores(each, "accuracy")[0].value for each in results}
    gap = modality_gap(values)
    if gap is not None:
        console.note(
            f"from text (T2T) to speech (S2S) {100 * gap:.1f} points are lost; published: "
            f"{_PUBLISHED_GAP}"
        )


def bars_of(results: Sequence[Results]) -> list[Bar]:
    """The lines of the picture."""
    bars = []
    for each in results:
        for score in all_scores(each, benchmark(each.task).measure):
            published = None if score.subject else PUBLISHED.get(each.task)
            bars.append(
                Bar(
                    name=score.subject or each.task,
                    score=score,
                    published=published.percent if published else None,
                    inner=bool(score.subject),
                )
            )
    return bars


def record_comparisons(
    console: Console, comparisons: Sequence[Comparison], labels: tuple[str, str]
) -> None:
    """Every comparison as a line of JSON, if that is asked for."""
    for each in comparisons:
        console.record(first_bundle=labels[0], second_bundle=labels[1], **asdict(each))


def print_comparisons(comparisons: Sequence[Comparison], labels: tuple[str, str]) -> None:
    """A table with a line for each benchmark."""
    columns = ("benchmark", "items", *labels, "only the first", "only the second", "chance", "")
    print_table(
        columns,
        [
            (
                each.task,
                str(each.items),
                f"{each.first.value:.1%}",
                f"{each.second.value:.1%}",
                str(each.only_first),
                str(each.only_second),
                f"{each.chance:.3f}",
                "differs" if each.chance < _CERTAIN else "no certain difference",
            )
            for each in comparisons
        ],
        left=("",),
    )
