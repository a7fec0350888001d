"""`mimo-edge ask`: a question about a recording."""

from __future__ import annotations

import click

from ..tasks import Overrides
from .console import Console, answer_record, describe
from .inputs import check_recordings
from .options import AUDIO, TEXT, ModelOptions, model_options, output_options, sampling_options

__all__ = ["ask"]


@click.command()
@click.argument("audio", type=AUDIO)
@click.argument("question", type=TEXT)
@click.option("--think", is_flag=True, help="Think aloud before answering.")
@model_options
@sampling_options
@output_options
def ask(
    audio: str,
    question: str,
    think: bool,
    options: ModelOptions,
    overrides: Overrides,
    console: Console,
) -> None:
    """Answer QUESTION about AUDIO in text."""
    check_recordings([audio])
    with options.load(console, "ask") as model:
        answer = model.ask(
            audio, question, thinking=think, overrides=overrides, on_text=console.live_text()
        )
    console.text(answer.text)
    if said := describe(answer, verbose=console.verbose):
        console.note(said)
    console.record(task="ask", input=audio, question=question, **answer_record(answer))
