"""`mimo-edge text`: a conversation in text."""

from __future__ import annotations

import sys
from typing import Any

import click

from .console import answer_record
from .options import (
    console_from,
    model_from,
    model_options,
    output_options,
    overrides_from,
    sampling_options,
)

__all__ = ["text"]


@click.command()
@click.argument("messages", nargs=-1)
@click.option("--system", help="Instructions for the whole conversation.")
@click.option("--think", is_flag=True, help="Think aloud before answering.")
@model_options
@sampling_options
@output_options
def text(messages: tuple[str, ...], system: str | None, think: bool, **values: Any) -> None:
    """Chat in text: one turn per MESSAGE, or per line of standard input."""
    console, overrides = console_from(values), overrides_from(values)
    lines = messages or (line.strip() for line in sys.stdin)
    with (
        model_from(console, values) as model,
        model.session(
            reply="thinking" if think else "text", system=system, overrides=overrides
        ) as session,
    ):
        for line in filter(None, lines):
            answer = session.ask(text=line, on_text=console.live_text())
            console.text(answer.text)
            console.record(task="text", request=line, **answer_record(answer))
