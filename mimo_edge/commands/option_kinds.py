"""What options are made of, without anything that runs a model: kinds of values, decorators.

A decorator of `option_group` gives a command one object for all its options: `output_options`
the `Console` as `console`; those of a model are in `options`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..atomic import check_output
from ..prompt.text_tokenizer import check_text
from .console import Console

__all__ = ["AUDIO", "OUTPUT", "TEXT", "decorate", "option_group", "output_options"]


AUDIO = click.Path(path_type=str, allow_dash=True)
"""A recording by its file's name; whether it can be read, `check_recordings` finds out."""


class _Text(click.types.StringParamType):
    """What the model is to read or say; looked at before any work is done."""

    def convert(self, *args: Any, **extra: Any) -> str:
        text: str = super().convert(*args, **extra)
        check_text(text)
        return text


TEXT = _Text()


class _OutputFile(click.Path):
    """A file to write, whose folder is looked at before any work is done."""

    def convert(self, *args: Any, **extra: Any) -> Any:
        path: Any = super().convert(*args, **extra)
        check_output(path)
        return path


OUTPUT = _OutputFile(path_type=Path, dir_okay=False)


def decorate(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Several options as one decorator, in the order of the help."""

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def option_group(
    parameter: str, make: Callable[..., Any], *options: Callable[[Any], Any]
) -> Callable[[Any], Any]:
    """Several options as one decorator, whose values reach the command as one object.

    `make` gets the values by the names of the options, and what it returns becomes the command's
    argument `parameter`.
    """
    # What `make` takes is what it is given: a new option needs no second list of names.
    names = tuple(inspect.signature(make).parameters)

    def with_object(command: Any) -> Any:
        @functools.wraps(command)
        def run(**values: Any) -> Any:
            own = {name: values[name] for name in names}
            others = {name: value for name, value in values.items() if name not in own}
            return command(**others, **{parameter: make(**own)})

        return decorate(*options)(run)

    return with_object


output_options = option_group(
    "console",
    Console,
    click.option("--json", "as_json", is_flag=True, help="Print results as lines of JSON."),
    click.option(
        "-v", "--verbose", count=True, help="Say more about each step; -vv: all there is to say."
    ),
)
