"""Options that commands share, as decorators, and what they are turned into."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

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
    "console_from",
    "decorate",
    "model_from",
    "model_options",
    "output_options",
    "overrides_from",
    "sampling_options",
    "threads_option",
]


AUDIO = click.Path(path_type=str, allow_dash=True)


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


threads_option = click.option(
    "--threads",
    default=0,
    show_default="what suits the model, fewer beside busy programs",
    help="Processor threads, exactly as many.",
)
"""Of every command that runs a model."""

model_options = decorate(
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

sampling_options = decorate(
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

output_options = decorate(
    click.option("--json", "as_json", is_flag=True, help="Print results as lines of JSON."),
    click.option(
        "-v", "--verbose", count=True, help="Say more about each step; -vv: all there is to say."
    ),
)


def model_from(console: Console, values: dict[str, Any], *abilities: Ability) -> MimoAudio:
    """Load the model that the options of `model_options` describe; takes them out of `values`.

    Says so if the model is known not to be good at one of `abilities`.
    """
    path = find_bundle(values.pop("bundle"))
    options = RuntimeOptions(
        threads=values.pop("threads"),
        context=values.pop("ctx"),
        device=values.pop("device"),
        gpu_layers=values.pop("gpu_layers"),
        repack=values.pop("repack"),
    )
    with console.busy(f"loading {path}"):
        model = MimoAudio.load(path, options)
    for ability in abilities:
        if doubt := doubt_about(model.manifest, ability):
            console.note(doubt)
    return model


def overrides_from(values: dict[str, Any]) -> Overrides:
    """The overrides among the options of `sampling_options`; takes them out of `values`."""
    return Overrides(**{field.name: values.pop(field.name) for field in fields(Overrides)})


def console_from(values: dict[str, Any]) -> Console:
    """The console of `output_options`; takes them out of `values`."""
    return Console(as_json=values.pop("as_json"), verbose=values.pop("verbose"))
