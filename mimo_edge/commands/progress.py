"""How far a long piece of work is, and how long it may still take: on a terminal only."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from .console import Console, one_line, rich_console

__all__ = ["progress_bar"]

_SPEED_OVER_S = 600.0
"""Seconds over which speed is averaged: parts take half a minute each with the large model."""


@contextlib.contextmanager
def progress_bar(console: Console, what: str, total: float) -> Iterator[Callable[[float], None]]:
    """Gives a function that is told how much of `total` is done."""
    terminal = rich_console(stderr=True)
    if console.as_json or not terminal.is_terminal:  # a bar that is disabled still ends a line
        yield lambda done: None
        return
    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=terminal,
        speed_estimate_period=_SPEED_OVER_S,
    )
    with bars:
        task = bars.add_task(one_line(what), total=total)
        yield lambda done: bars.update(task, completed=done)
