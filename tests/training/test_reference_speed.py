"""The comparison with the reference's products; PyTorch itself is played."""

from __future__ import annotations

from collections.abc import Callable

from mimo_edge.engine import Engine
from training.reference_speed import by_turns, ours, report


def played(seconds: float, asked: list[str], name: str) -> Callable[[str], float]:
    def measure(stage: str) -> float:
        asked.append(f"{name} {stage}")
        return seconds

    return measure


def test_both_are_measured_by_turns() -> None:
    asked: list[str] = []
    theirs, mine = by_turns(played(0.6, asked, "theirs"), played(0.2, asked, "mine"), rounds=2)
    assert asked[:4] == ["theirs prompt", "mine prompt", "theirs step", "mine step"]
    assert asked[::2] == [line.replace("mine", "theirs") for line in asked[1::2]]
    assert len(theirs["step"]) == 2  # the first round warms up
    table = report(theirs, mine).splitlines()
    assert table[-1] == "| patch | 1800.0 ms | 600.0 ms | 3.00 (3.00 to 3.00) |"


def test_every_stage_of_ours_runs(engine: Engine) -> None:
    with ours(engine) as measure:
        for stage in ("prompt", "step", "patch decoder", "patch encoder"):
            assert measure(stage) > 0
