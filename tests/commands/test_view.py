"""What a person and a pipe see of a live conversation."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from mimo_edge.commands.view import JsonView, PanelView, PlainView, describe_report
from mimo_edge.dialogue.events import (
    AnswerHeard,
    AnswerText,
    Level,
    LiveEvent,
    Notice,
    Opened,
    QuestionHeard,
    QuestionText,
    StateChanged,
    TurnReport,
)

REPORT = TurnReport(
    turn=1,
    reason="stop",
    first_sound_seconds=0.812,
    real_time_factor=0.25,
    tokens_per_second=31.0,
    patches_per_second=25.0,
    evaluated_positions=3,
    cached_positions=50,
    prepared_positions=20,
    underruns=0,
    resident_bytes=210_000_000,
)
TURN: list[LiveEvent] = [
    Opened(model="Demo, default", microphone="1: Yeti [front] (ALSA)", speaker="2: :heart:\x1b[5m"),
    StateChanged(state="listening"),
    Level(dbfs=-20.0),
    StateChanged(state="hearing"),
    QuestionHeard(turn=1, start=1.0, end=2.5),
    StateChanged(state="thinking"),
    AnswerText(turn=1, text="two and "),
    AnswerText(turn=1, text="two\x1b is four"),
    AnswerHeard(turn=1, start=3.0, end=4.0, text="two and two", interrupted=True),
    REPORT,
    QuestionText(turn=1, text="what is two and two"),
    Notice(text="the microphone is gone"),
]


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with JsonView() as view:
        for event in TURN:
            view.show(event)
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["event"] for record in records] == (
        [
            "opened",
            "state",
            "state",
            "question",
            "state",
            "text",
            "text",
            "answer",
            "report",
            "said",
            "notice",
        ]
    )
    assert records[7]["interrupted"] and records[8]["cached_positions"] == 50


def test_lines_for_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainView() as view:
        for event in TURN:
            view.show(event)
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "you: (1.5 s of speech)",
        "mimo: two and two — (interrupted)",
        "you said: what is two and two",
    ]
    lines = err.splitlines()
    assert lines[:4] == [
        "model: Demo, default",
        "microphone: 1: Yeti [front] (ALSA)",
        "speaker: 2: :heart:[5m",  # no markup, no emoji, nothing that a terminal obeys
        "[listening]",
    ]
    assert "  first sound 0.81 s after you stopped" in lines
    assert "the microphone is gone" in err


def test_all_figures_of_a_turn() -> None:
    line = describe_report(REPORT, verbose=True)
    assert "first sound 0.81 s after you stopped · " in line
    assert "a second of speech took 0.25 s (without hearing and sound) · 31.0 tokens/s" in line
    assert "3 positions evaluated, 20 ahead, 50 cached" in line


def test_what_went_wrong_with_a_turn() -> None:
    """Without asking for figures."""
    line = describe_report(replace(REPORT, underruns=2, reason="length"))
    assert "2 gaps in the sound" in line and "--max-new-tokens" in line
    assert not describe_report(replace(REPORT, first_sound_seconds=None))


def test_thoughts_are_told_from_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    answer = AnswerHeard(turn=1, start=3.0, end=4.0, text="4", thinking="2 + 2", interrupted=False)
    with PlainView() as view:
        view.show(answer)
    out, err = capsys.readouterr()
    assert (out, err) == ("mimo: 4\n", "mimo thought: 2 + 2\n")
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, _environ={"TERM": "xterm"})
    with PanelView("", console) as panel:
        panel.show(AnswerText(turn=1, text="2 + 2</think>4"))
        console.print(panel.panel())
        assert "mimo: 4" in screen.getvalue() and "2 + 2" not in screen.getvalue()
        panel.show(answer)
    assert "mimo thought: 2 + 2" in screen.getvalue()


def test_panel_on_a_terminal() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, _environ={"TERM": "xterm"})
    with PanelView("Ctrl-C ends the turn", console) as view:
        for event in TURN[:8]:
            view.show(event)
            console.print(view.panel())
        shown = screen.getvalue()
        for event in TURN[8:]:
            view.show(event)
    assert "microphone: 1: Yeti [front] (ALSA)" in shown and "speaker: 2: :heart:[5m" in shown
    assert "listening" in shown and "hearing you" in shown and "thinking" in shown
    assert "Ctrl-C ends the turn" in shown
    assert "mimo: two and two is four" in shown  # live, and nothing that a terminal obeys
    assert "▮" * 16 in shown and "▮" * 17 not in shown
    assert "two and two — (interrupted)" in screen.getvalue()


def test_panel_on_a_console_that_lacks_characters() -> None:
    """A meter of question marks would say nothing."""
    raw = io.BytesIO()
    screen = io.TextIOWrapper(raw, encoding="cp1252", errors="replace")
    console = Console(file=screen, force_terminal=True, width=100, _environ={"TERM": "xterm"})
    with PanelView("Ctrl-C ends the turn", console) as view:
        view.show(Level(dbfs=-20.0))
    screen.flush()
    assert b"#" * 16 in raw.getvalue() and b"?" not in raw.getvalue().replace(b"\x1b[?25", b"")
