"""`mimo-edge transcribe`: recordings to text."""

from __future__ import annotations

from typing import Any

import click

from .console import answer_record, describe
from .options import (
    AUDIO,
    console_from,
    model_from,
    model_options,
    output_options,
    overrides_from,
    sampling_options,
)

__all__ = ["transcribe"]


@click.command()
@click.argument("audio", nargs=-1, required=True, type=AUDIO)
@click.option("--instruction", help="What to ask for, for example in another language.")
@model_options
@sampling_options
@output_options
def transcribe(audio: tuple[str, ...], instruction: str | None, **values: Any) -> None:
    """Write down what is said in AUDIO ("-": standard input)."""
    console, overrides = console_from(values), overrides_from(values)
    with model_from(console, values) as model:
        for path in audio:
            answer = model.transcribe(
                path, instruction=instruction, overrides=overrides, on_text=console.live_text()
            )
            console.text(answer.text)
            console.record(task="transcribe", input=path, **answer_record(answer))
            if console.verbose:
                console.note(describe(answer))
