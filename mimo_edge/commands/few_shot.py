"""`mimo-edge few-shot`: to a recording what examples show."""

from __future__ import annotations

import click

from ..tasks import Overrides
from .console import Console
from .delivery import SpeechOptions, speech_options
from .inputs import check_recordings
from .options import AUDIO, TEXT, ModelOptions, model_options, output_options, sampling_options

__all__ = ["few_shot"]


@click.command("few-shot")
@click.argument("audio", type=AUDIO)
@click.option("--instruction", required=True, type=TEXT, help="What is done in the examples.")
@click.option(
    "--example",
    "examples",
    type=(str, str, TEXT),
    multiple=True,
    required=True,
    metavar="INPUT OUTPUT TEXT",
    help="Two recordings and what is said in the second; several times.",
)
@speech_options
@model_options
@sampling_options
@output_options
def few_shot(
    audio: str,
    instruction: str,
    examples: tuple[tuple[str, str, str], ...],
    speech: SpeechOptions,
    options: ModelOptions,
    overrides: Overrides,
    console: Console,
) -> None:
    """Do with AUDIO what the examples show (MiMo-Audio-7B-Base)."""
    recordings = [*(path for example in examples for path in example[:2]), audio]
    delivery = speech.delivery(console, recordings)
    check_recordings(recordings)
    with options.load(console) as model, delivery.speaker(model) as on_sound:
        with console.busy("speaking"):
            answer = model.few_shot(
                instruction,
                examples,
                audio,
                anyway=speech.anyway,
                overrides=overrides,
                on_sound=on_sound,
            )
        delivery.give(model, answer, task="few-shot")
