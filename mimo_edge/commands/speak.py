"""`mimo-edge speak`: a text to speech."""

from __future__ import annotations

import click

from ..tasks import Overrides
from .console import Console
from .delivery import SpeechOptions, speech_options
from .inputs import check_recordings
from .options import AUDIO, TEXT, ModelOptions, model_options, output_options, sampling_options
from .text_input import read_text

__all__ = ["speak"]


@click.command()
@click.argument("text", type=TEXT)
@speech_options
@click.option("--style", type=TEXT, help="How TEXT is to be said, in words.")
@click.option("--style-in-text", is_flag=True, help="TEXT says itself how it is to be said.")
@click.option("--voice", type=AUDIO, help="A recording whose voice to use.")
@model_options
@sampling_options
@output_options
def speak(
    text: str,
    style: str | None,
    style_in_text: bool,
    voice: str | None,
    speech: SpeechOptions,
    options: ModelOptions,
    overrides: Overrides,
    console: Console,
) -> None:
    """Say TEXT ("-": read it from standard input), through the speaker or into a file."""
    delivery = speech.delivery(console, [voice])
    check_recordings([voice])
    if text == "-":
        text = read_text()
    with options.load(console, "speak") as model, delivery.speaker(model) as on_sound:
        with console.busy("speaking"):
            answer = model.speak(
                text,
                style=style,
                style_in_text=style_in_text,
                voice=voice,
                anyway=speech.anyway,
                overrides=overrides,
                on_sound=on_sound,
            )
        delivery.give(model, answer, task="speak")
