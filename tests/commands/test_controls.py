"""Ctrl-C while a conversation runs."""

from __future__ import annotations

import signal

import pytest

from mimo_edge.commands.controls import Control, Controls


@pytest.mark.parametrize(
    ("pressed_at", "expected"),
    [
        ([], []),
        ([10.0], ["interrupt"]),
        ([10.0, 12.0], ["interrupt", "end"]),
        ([10.0, 14.0], ["interrupt", "interrupt"]),
        ([10.0, 10.0], ["end"]),
    ],
)
def test_ctrl_c(pressed_at: list[float], expected: list[Control]) -> None:
    """Once it ends the turn, twice within three seconds the conversation."""
    before = signal.getsignal(signal.SIGINT)
    asked: list[Control] = []
    with Controls(keys=False) as controls:
        for now in sorted(set(pressed_at)):
            for _ in range(pressed_at.count(now)):
                signal.raise_signal(signal.SIGINT)
            asked += controls.poll(now)
        assert controls.poll(20.0) == []
    assert asked == expected
    assert signal.getsignal(signal.SIGINT) is before
