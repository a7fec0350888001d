"""`mimo-edge continue`: the speech of a recording goes on."""

from __future__ import annotations

import click

from ..tasks import Overrides
from .console import Console
from .delivery import SpeechOptions, speech_options
from .inputs import check_recordings
from .options import AUDIO, ModelOptions, model_options, output_options, sampling_options

__all__ = ["continue_"]


@click.command("continue")
@click.argument("audio", type=AUDIO)
@speech_options
@model_options
@sampling_options
@output_options
def continue_(
    audio: str,
    speech: SpeechOptions,
    options: ModelOptions,
    overrides: Overrides,
    console: Console,
) -> None:
    """Go on speaking where AUDIO ends (MiMo-Audio-7B-Base)."""
    delivery = speech.delivery(console, [audio])
    check_recordings([audio])
    with options.load(console) as model, delivery.speaker(model) as on_sound:
        with console.busy("speaking"):
            answer = model.continue_speech(
                audio, anyway=speech.anyway, overrides=overrides, on_sound=on_sound
            )
        delivery.give(model, answer, task="continue")
