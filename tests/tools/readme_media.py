"""The picture and the recording at the top of the README, made by what they show.

    python -m tests.tools.readme_media

Run it again when the panel looks different or the demo model is another one.
"""

from __future__ import annotations

import io
import re
from html import unescape
from pathlib import Path

import numpy as np
import soundfile
from rich.console import Console

from mimo_edge.bundle.default_bundle import find_bundle
from mimo_edge.commands.view import PanelView
from mimo_edge.dialogue.events import (
    AnswerHeard,
    AnswerText,
    Level,
    LiveEvent,
    QuestionHeard,
    QuestionText,
    StateChanged,
    TurnReport,
)
from mimo_edge.model import MimoAudio
from mimo_edge.tasks import Overrides

__all__ = ["PICTURE", "RECORDING", "picture", "words_of"]

FOLDER = Path(__file__).parents[1] / "data" / "readme"
PICTURE, RECORDING = FOLDER / "panel.svg", FOLDER / "conversation.mp3"
QUESTIONS = Path(__file__).parents[1] / "data" / "demo"
WIDTH = 72
PAUSE_S = 0.5

TURNS = (
    ("what is seven plus five", 2.2, "seven plus five is twelve", 0.66, 0.06, 46.2, 107.9, 26),
    ("what did i just say", 2.2, "you said what is seven plus five", 0.66, 0.04, 77.0, 154.1, 74),
)
"""Question, its seconds, answer, and the figures of a recorded session on two cores."""


def picture() -> str:
    """A conversation as the panel shows it, while the third answer is spoken: SVG."""
    console = Console(
        record=True, file=io.StringIO(), force_terminal=True, width=WIDTH, highlight=False
    )
    view = PanelView("Ctrl-C: end the turn, twice: end", console)
    for event in _events():
        view.show(event)
    console.print(view.panel())
    return console.export_svg(title="mimo-edge chat", unique_id="panel")


def words_of(svg: str) -> list[str]:
    """What such a picture says, line by line, whatever colours and places it has."""
    rows: dict[str, list[str]] = {}
    for y, text in re.findall(r'<text [^>]*? y="([\d.]+)"[^>]*>(.*?)</text>', svg, re.DOTALL):
        rows.setdefault(y, []).append(unescape(text).replace("\xa0", " "))
    return [" ".join("".join(row).split()) for row in rows.values()]


def _events() -> list[LiveEvent]:
    events: list[LiveEvent] = []
    for turn, (said, length, answer, first, factor, tokens, patches, cached) in enumerate(TURNS, 1):
        events += [
            QuestionHeard(turn=turn, start=0.0, end=length),
            QuestionText(turn=turn, text=said),
            AnswerHeard(turn=turn, start=3.0, end=5.0, text=answer, interrupted=False),
            TurnReport(
                turn=turn,
                reason="stop",
                first_sound_seconds=first,
                real_time_factor=factor,
                tokens_per_second=tokens,
                patches_per_second=patches,
                evaluated_positions=0,
                cached_positions=cached,
                prepared_positions=23,
                underruns=0,
                resident_bytes=190_000_000,
            ),
        ]
    return [
        *events,
        QuestionHeard(turn=3, start=0.0, end=1.6),
        QuestionText(turn=3, text="count from two to six"),
        AnswerText(turn=3, text="two three four"),
        Level(dbfs=-42.0),
        StateChanged(state="speaking"),
    ]


def _write_recording() -> None:
    """Two recorded questions and the demo model's answers, with pauses between."""
    with (
        MimoAudio.load(find_bundle()) as model,
        model.session(overrides=Overrides(seed=1)) as session,
    ):
        pieces = []
        for name in ("sum", "memory"):
            question, rate = soundfile.read(QUESTIONS / f"{name}.flac", dtype="float32")
            answer = session.ask(QUESTIONS / f"{name}.flac")
            assert answer.audio is not None and rate == answer.sample_rate
            pause = np.zeros(round(PAUSE_S * rate), dtype=np.float32)
            pieces += [question, pause, answer.audio, pause]
    samples = np.clip(np.concatenate(pieces[:-1]), -1, 1)
    soundfile.write(RECORDING, samples, rate, bitrate_mode="VARIABLE", compression_level=0.7)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    PICTURE.write_text(picture(), encoding="utf-8")
    _write_recording()
