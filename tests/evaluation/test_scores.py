"""Figures, their intervals and comparisons."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from mimo_edge.errors import MimoEdgeError
from mimo_edge.evaluation.comparison import compare, mcnemar
from mimo_edge.evaluation.results import Results
from mimo_edge.evaluation.scores import all_scores, score, wilson
from mimo_edge.measure.word_errors import word_errors


def results(name: str, right: dict[str, bool], **head: Any) -> Results:
    lines = {
        key: {"id": key, "subject": "", "correct": value, "chosen": "x"}
        for key, value in right.items()
    }
    whole = {"task": "mmau", "data": 1, "bundle": {"name": name, "recipe": "q4"}, "options": {}}
    return Results(Path(f"{name}.jsonl"), {**whole, **head}, lines)


def test_wilson_is_what_the_textbook_says() -> None:
    """15 of 20; and near the ends, where the simple interval leaves 0 to 1."""
    low, high = wilson(15, 20)
    assert (round(low, 4), round(high, 4)) == (0.5313, 0.8881)
    assert wilson(0, 10)[0] == 0 and math.isclose(wilson(0, 10)[1], 0.2775, abs_tol=1e-4)
    assert wilson(10, 10)[1] == pytest.approx(1)


def test_mcnemar_counts_only_what_differs() -> None:
    assert mcnemar(0, 0) == 1
    assert mcnemar(5, 5) == 1
    assert math.isclose(mcnemar(0, 6), 2 / 2**6)
    assert math.isclose(mcnemar(1, 9), 2 * (1 + 10) / 2**10)
    assert mcnemar(9, 1) == mcnemar(1, 9)


def test_two_models_are_compared_on_the_items_of_both() -> None:
    first = results("a", {"1": True, "2": True, "3": False, "4": True})
    second = results("b", {"2": False, "3": False, "4": True, "5": True})
    found = compare(first, second, "accuracy")
    assert (found.items, found.only_first, found.only_second) == (3, 1, 0)
    assert found.first.value == pytest.approx(2 / 3) and found.chance == 1


@pytest.mark.parametrize(
    ("head", "said"),
    [({"task": "mmar"}, "different benchmarks"), ({"options": {"shots": 5}}, "different options")],
)
def test_what_was_not_asked_alike_is_not_compared(head: dict[str, Any], said: str) -> None:
    with pytest.raises(MimoEdgeError, match=said):
        compare(results("a", {"1": True}), results("b", {"1": True}, **head), "accuracy")
    with pytest.raises(MimoEdgeError, match="no item in common"):
        compare(results("a", {"1": True}), results("b", {"2": True}), "accuracy")


def test_unclear_and_failed_items_count_as_wrong() -> None:
    lines: list[dict[str, Any]] = [
        {"correct": True, "chosen": "A"},
        {"correct": False, "chosen": None},
        {"correct": False, "error": "the recording is silent"},
    ]
    found = score("accuracy", lines)
    assert (found.items, found.unclear, found.failed) == (3, 1, 1)
    assert found.value == pytest.approx(1 / 3)


def test_subjects_have_scores_of_their_own() -> None:
    lines = {
        str(number): {"subject": "ab"[number % 2], "correct": number < 6, "chosen": "A"}
        for number in range(10)
    }
    found = all_scores(Results(Path(), {}, lines), "accuracy")
    assert [(one.subject, one.items, one.value) for one in found] == [
        ("", 10, 0.6),
        ("a", 5, 0.6),
        ("b", 5, 0.6),
    ]


def test_word_errors_are_told_apart() -> None:
    found = word_errors("one two three four five", "ten two four five six")
    assert (found.substitutions, found.deletions, found.insertions) == (1, 1, 1)
    assert found.rate == pytest.approx(3 / 5)
    assert word_errors("It's ONE, two!", "it's one two").errors == 0
    assert word_errors("", "a b").rate == 2
    assert word_errors("今天，天气好。", "今天天汽好", "zh").errors == 1


def test_a_word_error_rate_is_over_all_words_beside_the_mean_of_items() -> None:
    lines = [
        vars(word_errors("one two three four five six seven eight", "one two three four five six")),
        vars(word_errors("one two", "one two")),
    ]
    found = score("word errors", lines)
    assert found.value == pytest.approx(0.2) and found.mean_of_items == pytest.approx(0.125)
    assert found.low <= found.value <= found.high
