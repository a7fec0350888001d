"""Options that commands share, as decorators, and the objects that commands get of them.

A decorator of `option_group` gives a command one object for all its options: `model_options` a
`ModelOptions` as the parameter `options`, `sampling_options` the `Overrides` as `overrides`,
`output_options` the `Console` as `console`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click

from ..atomic import check_output
from ..bundle.default_bundle import MODEL_VARIABLE, find_bundle
from ..model import MimoAudio
from ..prompt.text_tokenizer import check_text
from ..stages.runtime_options import DEFAULT_CONTEXT, RuntimeOptions
from ..tasks import Overrides
from ..trained_tasks import Ability, doubt_about
from .console import Console

__all__ = [
    "AUDIO",
    "OUTPUT",
    "TEXT",
    "ModelOptions",
    "decorate",
    "model_options",
    "option_group",
    "output_options",
    "sampling_options",
    "threads_option",
]


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


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which model a command runs, and how, as the options of `model_options` say it."""

    bundle: Path | None
    """None: the environment's bundle, else the demo model."""
    threads: int
    ctx: int | None
    device: Literal["auto", "cpu", "gpu"]
    gpu_layers: int
    repack: bool

    def load(self, console: Console, *abilities: Ability) -> MimoAudio:
        """The loaded model; `console` says if it is known not to be good at one of `abilities`.

        Raises:
            MimoEdgeError: there is no such bundle, it does not load, or a number has no meaning.
        """
        path = find_bundle(self.bundle)
        options = RuntimeOptions(
            threads=self.threads,
            context=self.ctx,
            device=self.device,
            gpu_layers=self.gpu_layers,
            repack=self.repack,
        )
        with console.busy(f"loading {path}"):
            model = MimoAudio.load(path, options)
        for ability in abilities:
            if doubt := doubt_about(model.manifest, ability):
                console.note(doubt)
        return model


threads_option = click.option(
    "--threads",
    default=0,
    show_default="what suits the model, fewer beside busy programs",
    help="Processor threads, exactly as many.",
)
"""Of every command that runs a model."""

model_options = option_group(
    "options",
    ModelOptions,
    click.option(
        "--model",
        "bundle",
        type=click.Path(path_type=Path),
        help=f"Folder of the bundle.  [default: ${MODEL_VARIABLE}, else the demo model]",
    ),
    threads_option,
    click.option(
        "--ctx",
        type=int,
        show_default=f"{DEFAULT_CONTEXT}, or what the model was trained for",
        help="Longest conversation, in positions: one per text token or 160 ms of sound.",
    ),
    click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "gpu"]),
        default="auto",
        show_default=True,
        help="Where the language model runs.",
    ),
    click.option(
        "--gpu-layers",
        default=-1,
        show_default="all",
        help="How many layers of the language model run on the GPU.",
    ),
    click.option(
        "--repack",
        is_flag=True,
        help="Hear prompts faster, with a second copy of the language model in memory.",
    ),
)

sampling_options = option_group(
    "overrides",
    Overrides,
    click.option("--seed", type=int, help="Draw the same answer again: same seed, same answer."),
    click.option(
        "--temperature",
        type=float,
        show_default="by task",
        help="How freely the words are chosen: 0 takes the likeliest, more is freer.",
    ),
    click.option(
        "--top-p",
        type=float,
        show_default="by task",
        help="Choose words among the likeliest that make up this share of the probability.",
    ),
    click.option(
        "--top-k",
        type=int,
        show_default="by task",
        help="Choose words among this many of the likeliest; 0: among all.",
    ),
    click.option(
        "--code-temperature",
        type=float,
        show_default="0.9",
        help="How freely the sound is chosen; not 0, that makes flat, broken speech.",
    ),
    click.option(
        "--code-top-p",
        type=float,
        show_default="0.95",
        help="Choose sound codes among the likeliest that make up this share of the probability.",
    ),
    click.option(
        "--code-top-k",
        type=int,
        show_default="by task",
        help="Choose sound codes among this many of the likeliest; 0: among all.",
    ),
    click.option(
        "--max-new-tokens",
        type=int,
        show_default="2048",
        help="Longest answer: words and patches of sound (160 ms each) together.",
    ),
)

output_options = option_group(
    "console",
    Console,
    click.option("--json", "as_json", is_flag=True, help="Print results as lines of JSON."),
    click.option(
        "-v", "--verbose", count=True, help="Say more about each step; -vv: all there is to say."
    ),
)
