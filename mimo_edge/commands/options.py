"""Options of commands that run a model, as decorators, and the objects that commands get of them.

`model_options` gives a command a `ModelOptions` as the parameter `options`, `sampling_options` the
`Overrides` as `overrides`. What needs no model is in `option_kinds`, and can be had here as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import click

from ..bundle.default_bundle import MODEL_VARIABLE, find_bundle
from ..model import MimoAudio
from ..stages.machine.runtime_options import DEFAULT_CONTEXT, PatchChoice, RuntimeOptions
from ..tasks import Overrides
from ..trained_tasks import Ability, doubt_about
from .console import Console
from .option_kinds import AUDIO, OUTPUT, TEXT, decorate, option_group, output_options

__all__ = [
    "AUDIO",
    "OUTPUT",
    "TEXT",
    "ModelOptions",
    "decorate",
    "device_option",
    "model_options",
    "option_group",
    "output_options",
    "patches_option",
    "sampling_options",
    "threads_option",
]


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which model a command runs, and how, as the options of `model_options` say it."""

    bundle: Path | None
    """None: the environment's bundle, else the demo model."""
    threads: int
    ctx: int | None
    device: str
    gpu_layers: int
    patches: PatchChoice
    provider: str
    repack: bool | None
    draft: Path | None
    no_draft: bool

    def load(
        self,
        console: Console,
        *abilities: Ability,
        for_long: bool = False,
        conversations: int | None = None,
        cache_positions: int | None = None,
    ) -> MimoAudio:
        """The loaded model; `console` says if it is known not to be good at one of `abilities`.

        `for_long`: the program answers for a while, so that repacking can earn its time.
        `conversations` are to be answered at once, and have `cache_positions` in memory together;
        None: as many as usual.

        Raises:
            MimoEdgeError: there is no such bundle, it does not load, or a number has no meaning.
        """
        path = find_bundle(self.bundle)
        options = RuntimeOptions(
            threads=self.threads,
            context=self.ctx,
            device=self.device,
            gpu_layers=self.gpu_layers,
            patches=self.patches,
            provider=self.provider,
            drafting=not self.no_draft,
            draft_model=self.draft,
            cache_positions=cache_positions,
            repack=self.repack if self.repack is not None or for_long else False,
        )
        if conversations is not None:
            options = replace(options, conversations=conversations)
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

device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|gpu|NAME",
    help="Where the language model runs; `mimo-edge info` lists names.",
)
"""As above."""

patches_option = click.option(
    "--patches",
    type=click.Choice(["auto", "onnx", "gguf"]),
    default="auto",
    show_default=True,
    help="What computes the patches of sound: onnxruntime, or llama.cpp (GGUF, on a GPU).",
)
"""As above."""

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
    device_option,
    click.option(
        "--gpu-layers",
        default=-1,
        show_default="as many as its free memory holds",
        help="How many layers of the language model run on the GPU.",
    ),
    patches_option,
    click.option(
        "--provider",
        default="auto",
        show_default="cpu, unless `mimo-edge info --measure` found a quicker one",
        metavar="NAME",
        help="What onnxruntime computes the audio tokenizer with; `mimo-edge info` lists names.",
    ),
    click.option(
        "--repack/--no-repack",
        default=None,
        show_default="where it pays in `serve`, else not",
        help="Lay the language model out anew for this processor: loads longer, speaks faster.",
    ),
    click.option(
        "--draft",
        type=click.Path(path_type=Path),
        help="GGUF of a small text model of the same vocabulary, which guesses the next words.",
    ),
    click.option(
        "--no-draft",
        is_flag=True,
        help="Guess no words, not even of a text that is spoken: the same answer, later.",
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
