"""`mimo-edge text`: a conversation in text."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator

import click

from ..errors import MimoEdgeError
from ..session import Session
from ..tasks import Overrides
from .console import Console, answer_record, describe
from .options import TEXT, ModelOptions, model_options, output_options, sampling_options
from .remedies import with_option
from .text_input import read_lines

__all__ = ["text"]

_PROMPT = "> "
_HELP = "/help shows this · /exit, /quit or Ctrl-D end the conversation · all else is said"
_ENDS = ("/exit", "/quit")
_COMMAND = re.compile("/[a-z]+")


@click.command()
@click.argument("messages", nargs=-1, type=TEXT)
@click.option("--system", type=TEXT, help="Instructions for the whole conversation.")
@click.option("--think", is_flag=True, help="Think aloud before answering.")
@model_options
@sampling_options
@output_options
def text(
    messages: tuple[str, ...],
    system: str | None,
    think: bool,
    options: ModelOptions,
    overrides: Overrides,
    console: Console,
) -> None:
    """Chat in text: one turn per MESSAGE, or per line of standard input.

    On a terminal it asks for each line; /exit, /quit or Ctrl-D end it, /help says so.
    """
    with (
        options.load(console, "converse") as model,
        model.session(
            reply="thinking" if think else "text", system=system, overrides=overrides
        ) as session,
    ):
        if messages or not sys.stdin.isatty():
            for line in messages or read_lines():
                _say(console, session, line)
        else:
            console.note(f"model: {model.manifest.name}, {model.manifest.recipe}")
            console.note(_HELP)
            for line in _typed_lines(console):
                try:
                    _say(console, session, line)
                except MimoEdgeError as error:  # the next line may do
                    console.complain(with_option(error))


def _say(console: Console, session: Session, line: str) -> None:
    if not line.strip():
        return
    answer = session.ask(text=line, on_text=console.live_text())
    console.text(answer.text)
    if said := describe(answer, verbose=console.verbose):
        console.note(said)
    console.record(task="text", request=line, **answer_record(answer))


def _typed_lines(console: Console) -> Iterator[str]:
    """What is typed for the model, without surrounding blanks; obeys the words with a slash."""
    while (line := _typed()) is not None:
        line = line.strip()
        if line in _ENDS:
            return
        if not _COMMAND.fullmatch(line):
            yield line
        elif line == "/help":
            console.note(_HELP)
        else:
            console.note(f"there is no {line}; {_HELP}")


def _typed() -> str | None:
    """One line from a terminal, behind a prompt; None at its end (Ctrl-D)."""
    try:
        if sys.stdout.isatty():
            with contextlib.suppress(ImportError):  # Windows has none; its consoles edit lines
                import readline  # noqa: F401  (input() then has arrow keys and a history)
            return input(_PROMPT)
        # The answers go elsewhere, and the prompt must not follow them.
        click.echo(_PROMPT, nl=False, err=True)
        line = sys.stdin.readline()
        return line if line else None
    except EOFError:
        click.echo(err=True)  # the shell's prompt begins on a line of its own
        return None
    except KeyboardInterrupt:
        click.echo(err=True)  # and what is said of it
        raise
