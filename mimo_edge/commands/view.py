"""How a live conversation looks: a panel on a terminal, lines in a pipe, JSON when asked for."""

from __future__ import annotations

import sys
from typing import Protocol

import click
from rich.console import Console as RichConsole
from rich.live import Live
from rich.text import Text

from ..dialogue.events import (
    AnswerHeard,
    AnswerText,
    Level,
    LiveEvent,
    LiveState,
    Notice,
    Opened,
    QuestionHeard,
    QuestionText,
    StateChanged,
    TurnReport,
    record_of,
)
from ..json_lines import json_line
from ..prompt.text_tokenizer import split_thinking
from .console import can_encode, printable, rich_console

__all__ = ["JsonView", "PanelView", "PlainView", "View", "describe_report"]

_STATES: dict[LiveState, tuple[str, str]] = {
    "starting": ("starting", "dim"),
    "listening": ("listening", "green"),
    "hearing": ("hearing you", "bold green"),
    "thinking": ("thinking", "yellow"),
    "speaking": ("speaking", "bold cyan"),
    "paused": ("waiting for the device", "bold red"),
}
_METER = 24
_QUIET_DBFS, _LOUD_DBFS = -60.0, 0.0
_REFRESHES = 15


class View(Protocol):
    """Shows the events of a conversation to somebody; a context manager around it."""

    def show(self, event: LiveEvent) -> None:
        """Show one event, at once and in the order of the calls."""

    def __enter__(self) -> View:
        """Take what the view needs of the terminal."""

    def __exit__(self, *error: object) -> None:
        """Leave the terminal as it was."""


class JsonView:
    """One line of JSON per event on standard output; no levels, they would be most of it."""

    def show(self, event: LiveEvent) -> None:
        """Print the event as JSON, unless it is a level."""
        if not isinstance(event, Level):
            click.echo(json_line(record_of(event), sys.stdout.encoding))

    def __enter__(self) -> JsonView:
        """Lines need nothing of the terminal."""
        return self

    def __exit__(self, *error: object) -> None:
        """Every line was complete when it was printed."""


class PlainView:
    """Whole lines: what was said on standard output, everything else on standard error."""

    def __init__(self, *, verbose: bool = False) -> None:
        """With `verbose`, all figures of a turn are printed, else only what the user notices."""
        self._verbose = verbose

    def show(self, event: LiveEvent) -> None:
        """Print the event, if it is worth a line."""
        if isinstance(event, Opened):
            click.echo(_opened_lines(event), err=True)
        elif isinstance(event, StateChanged):
            click.echo(f"[{_STATES[event.state][0]}]", err=True)
        elif isinstance(event, QuestionHeard):
            click.echo(_question_line(event))
        elif isinstance(event, QuestionText):
            click.echo(_said_line(event))
        elif isinstance(event, AnswerHeard):
            if event.thinking:
                click.echo(_thinking_line(event), err=True)
            click.echo(f"mimo: {_answer_line(event)}")
        elif isinstance(event, TurnReport):
            if line := describe_report(event, verbose=self._verbose):
                click.echo(line, err=True)
        elif isinstance(event, Notice):
            click.echo(printable(event.text), err=True)
        sys.stdout.flush()

    def __enter__(self) -> PlainView:
        """Lines need nothing of the terminal."""
        return self

    def __exit__(self, *error: object) -> None:
        """Every line was complete when it was printed."""


class PanelView:
    """The transcript scrolls; below it one line with the state, the level and the answer so far."""

    def __init__(
        self, hint: str, console: RichConsole | None = None, *, verbose: bool = False
    ) -> None:
        """`hint` says which keys do what; `verbose`: with all figures of a turn."""
        self._verbose = verbose
        self._console = console or rich_console()
        self._marks = ("▮", "▯") if can_encode("▮▯", self._console.encoding) else ("#", "-")
        self._hint = hint
        self._state: LiveState = "starting"
        self._dbfs = _QUIET_DBFS
        self._text = ""
        self._live = Live(
            console=self._console, refresh_per_second=_REFRESHES, get_renderable=self.panel
        )

    def show(self, event: LiveEvent) -> None:
        """Print what stays, remember what the panel shows."""
        if isinstance(event, Opened):
            self._console.print(Text(_opened_lines(event), style="dim"))
        elif isinstance(event, StateChanged):
            self._state = event.state
        elif isinstance(event, Level):
            self._dbfs = event.dbfs
        elif isinstance(event, QuestionHeard):
            self._text = ""
            self._console.print(Text(_question_line(event), style="green"))
        elif isinstance(event, QuestionText):
            self._console.print(Text(_said_line(event), style="green"))
        elif isinstance(event, AnswerText):
            self._text += event.text
        elif isinstance(event, AnswerHeard):
            self._text = ""
            if event.thinking:
                self._console.print(Text(_thinking_line(event), style="dim"))
            self._console.print(Text(f"mimo: {_answer_line(event)}", style="cyan"))
        elif isinstance(event, TurnReport):
            if line := describe_report(event, verbose=self._verbose):
                self._console.print(Text(line, style="dim"))
        elif isinstance(event, Notice):
            self._console.print(Text(printable(event.text), style="yellow"))

    def panel(self) -> Text:
        """What the bottom of the terminal shows now: the answer so far, the level, the state."""
        name, style = _STATES[self._state]
        share = (self._dbfs - _QUIET_DBFS) / (_LOUD_DBFS - _QUIET_DBFS)
        bars = round(max(0.0, min(1.0, share)) * _METER)
        panel = Text()
        if self._text:
            _, text = split_thinking(self._text)
            panel.append(f"mimo: {printable(text)}\n", "cyan")
        full, empty = self._marks
        panel.append(full * bars, "green" if self._dbfs < -3 else "red")
        panel.append(empty * (_METER - bars), "dim")
        panel.append(f" {name}", style)
        panel.append(f"   {self._hint}", "dim")
        return panel

    def __enter__(self) -> PanelView:
        """Draw the panel at the bottom of the terminal."""
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Remove the panel; what scrolled above it stays."""
        self._live.stop()


def describe_report(report: TurnReport, *, verbose: bool = False) -> str:
    """One line about what a turn took, or none; with `verbose`, all figures."""
    parts = []
    if report.first_sound_seconds is not None:
        parts.append(f"first sound {report.first_sound_seconds:.2f} s after you stopped")
    if report.underruns:
        parts.append(f"{report.underruns} gaps in the sound, which was made or came too slowly")
    if report.reason == "length":
        parts.append("cut off, a larger --max-new-tokens lets it finish")
    elif report.reason == "context":
        parts.append("cut off, a larger --ctx lets it finish")
    if verbose:
        parts += _figures(report)
    return "  " + " · ".join(parts) if parts else ""


def _figures(report: TurnReport) -> list[str]:
    parts = []
    if report.real_time_factor is not None:
        parts.append(
            f"words and codes of a second of speech took {report.real_time_factor:.2f} s "
            "(without hearing and sound)"
        )
    if report.tokens_per_second is not None:
        parts.append(f"{report.tokens_per_second:.1f} tokens/s")
    if report.patches_per_second is not None:
        parts.append(f"{report.patches_per_second:.1f} patches/s")
    parts.append(
        f"{report.evaluated_positions} positions evaluated, {report.prepared_positions} ahead, "
        f"{report.cached_positions} cached"
    )
    parts.append(f"{report.resident_bytes / 1e9:.2f} GB of memory")
    return parts


def _opened_lines(event: Opened) -> str:
    lines = [f"model: {event.model}", f"microphone: {event.microphone}"]
    lines.append(f"speaker: {event.speaker}" if event.speaker else "answers in text, no speaker")
    return "\n".join(map(printable, lines))


def _question_line(event: QuestionHeard) -> str:
    return f"you: ({event.end - event.start:.1f} s of speech)"


def _said_line(event: QuestionText) -> str:
    return f"you said: {printable(event.text)}"


def _thinking_line(event: AnswerHeard) -> str:
    return f"mimo thought: {printable(event.thinking)}"


def _answer_line(event: AnswerHeard) -> str:
    return printable(f"{event.text} — (interrupted)".strip() if event.interrupted else event.text)
