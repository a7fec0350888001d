"""Options that commands share, as decorators, and what they are turned into."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from .config import DEFAULT_CONTEXT, MANIFEST_FILE, RuntimeOptions
from .console import Console
from .errors import MimoEdgeError
from .model import MimoAudio
from .tasks import Overrides

__all__ = [
    "console_from",
    "find_bundle",
    "model_from",
    "model_options",
    "output_options",
    "overrides_from",
    "sampling_options",
]

_MODEL_VARIABLE = "MIMO_EDGE_MODEL"
_DEMO_FOLDERS = (
    Path(__file__).parent / "models" / "demo",  # in an installed wheel
    Path(__file__).parent.parent / "models" / "demo",  # in a checkout
)


def _decorate(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


model_options = _decorate(
    click.option(
        "--model",
        "bundle",
        type=click.Path(path_type=Path),
        help=f"Folder of the bundle.  [default: ${_MODEL_VARIABLE}, else the demo model]",
    ),
    click.option(
        "--threads", default=0, show_default="one per fast core", help="Processor threads."
    ),
    click.option(
        "--ctx",
        default=DEFAULT_CONTEXT,
        show_default=f"{DEFAULT_CONTEXT}, or what the model was trained for",
        help="Positions of a conversation.",
    ),
    click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "gpu"]),
        default="auto",
        show_default=True,
        help="Where the backbone runs.",
    ),
    click.option("--gpu-layers", default=-1, show_default="all", help="Layers on the GPU."),
    click.option("--repack", is_flag=True, help="Faster prompts for a second copy of the weights."),
)

sampling_options = _decorate(
    click.option("--seed", type=int, help="Same seed, same answer."),
    click.option("--temperature", type=float, help="Of the text."),
    click.option("--top-p", type=float, help="Of the text."),
    click.option("--top-k", type=int, help="Of the text; 0: all."),
    click.option("--code-temperature", type=float, help="Of the sound."),
    click.option("--code-top-p", type=float, help="Of the sound."),
    click.option("--code-top-k", type=int, help="Of the sound; 0: all."),
    click.option(
        "--max-new-tokens", type=int, help="Longest answer, text tokens and patches together."
    ),
)

output_options = _decorate(
    click.option("--json", "as_json", is_flag=True, help="Results as lines of JSON."),
    click.option("-v", "--verbose", count=True, help="Say more; -vv everything."),
)


def find_bundle(bundle: Path | None) -> Path:
    """The bundle to run: what was given, the environment's, the demo model.

    Raises:
        MimoEdgeError: none was given and there is no demo model.
    """
    if bundle is not None:
        return bundle
    if named := os.environ.get(_MODEL_VARIABLE):
        return Path(named)
    for folder in _DEMO_FOLDERS:
        if (folder / MANIFEST_FILE).is_file():
            return folder
    raise MimoEdgeError(
        "there is no model to run: give the folder of a bundle with --model "
        f"(or in {_MODEL_VARIABLE}); `mimo-edge convert --help` says how to make one."
    )


def model_from(console: Console, values: dict[str, Any]) -> MimoAudio:
    """Load the model that the options of `model_options` describe; takes them out of `values`."""
    path = find_bundle(values.pop("bundle"))
    options = RuntimeOptions(
        threads=values.pop("threads"),
        context=values.pop("ctx"),
        device=values.pop("device"),
        gpu_layers=values.pop("gpu_layers"),
        repack=values.pop("repack"),
    )
    with console.busy(f"loading {path}"):
        return MimoAudio.load(path, options)


def overrides_from(values: dict[str, Any]) -> Overrides:
    """The overrides among the options of `sampling_options`; takes them out of `values`."""
    return Overrides(**{field.name: values.pop(field.name) for field in fields(Overrides)})


def console_from(values: dict[str, Any]) -> Console:
    """The console of `output_options`; takes them out of `values`."""
    return Console(as_json=values.pop("as_json"), verbose=values.pop("verbose"))
