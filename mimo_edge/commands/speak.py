"""The commands whose result is speech: `speak`, `few-shot`, `continue`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import click

from ..engine import Answer, OnSound
from ..errors import BadInputError, MimoEdgeError
from ..model import MimoAudio
from ..trained_tasks import is_known
from .console import Console, answer_record, describe
from .inputs import check_recordings
from .options import (
    AUDIO,
    TEXT,
    console_from,
    decorate,
    model_from,
    model_options,
    output_options,
    overrides_from,
    sampling_options,
)
from .speech_output import SpeechOutput, speech_output_options
from .text_input import read_text

__all__ = ["continue_", "few_shot", "speak"]

_speech_options = decorate(
    speech_output_options(required=False),
    click.option("--play", is_flag=True, help="Play the speech, too, where --output writes it."),
    click.option(
        "--anyway", is_flag=True, help="Try what this checkpoint was not trained for, too."
    ),
)


@click.command()
@click.argument("text", type=TEXT)
@_speech_options
@click.option("--style", type=TEXT, help="How TEXT is to be said, in words.")
@click.option("--style-in-text", is_flag=True, help="TEXT says itself how it is to be said.")
@click.option("--voice", type=AUDIO, help="A recording whose voice to use.")
@model_options
@sampling_options
@output_options
def speak(text: str, play: bool, **values: Any) -> None:
    """Say TEXT ("-": read it from standard input), through the speaker or into a file."""
    output, play = _output_from(values, play)
    check_recordings([values["voice"]])
    console, overrides = console_from(values), overrides_from(values)
    if text == "-":
        text = read_text()
    with model_from(console, values, "speak") as model, _speaker(model, play) as on_sound:
        with console.busy("speaking"):
            answer = model.speak(text, overrides=overrides, on_sound=on_sound, **values)
        _give(console, model, answer, output, task="speak", played=play)


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
@_speech_options
@model_options
@sampling_options
@output_options
def few_shot(
    audio: str,
    instruction: str,
    examples: tuple[tuple[str, str, str], ...],
    play: bool,
    anyway: bool,
    **values: Any,
) -> None:
    """Do with AUDIO what the examples show (MiMo-Audio-7B-Base)."""
    output, play = _output_from(values, play)
    check_recordings([*(path for example in examples for path in example[:2]), audio])
    console, overrides = console_from(values), overrides_from(values)
    with model_from(console, values) as model, _speaker(model, play) as on_sound:
        with console.busy("speaking"):
            answer = model.few_shot(
                instruction,
                examples,
                audio,
                anyway=anyway,
                overrides=overrides,
                on_sound=on_sound,
            )
        _give(console, model, answer, output, task="few-shot", played=play)


@click.command("continue")
@click.argument("audio", type=AUDIO)
@_speech_options
@model_options
@sampling_options
@output_options
def continue_(audio: str, play: bool, anyway: bool, **values: Any) -> None:
    """Go on speaking where AUDIO ends (MiMo-Audio-7B-Base)."""
    output, play = _output_from(values, play)
    check_recordings([audio])
    console, overrides = console_from(values), overrides_from(values)
    with model_from(console, values) as model, _speaker(model, play) as on_sound:
        with console.busy("speaking"):
            answer = model.continue_speech(
                audio, anyway=anyway, overrides=overrides, on_sound=on_sound
            )
        _give(console, model, answer, output, task="continue", played=play)


def _output_from(values: dict[str, Any], play: bool) -> tuple[SpeechOutput | None, bool]:
    """What to write and whether to play; refuses at once what cannot be done.

    Takes the options of `speech_output_options` out of `values`.
    """
    name, form = values.pop("output"), values.pop("form")
    output = None
    if name is not None:
        output = SpeechOutput.choose(name, form, as_json=values["as_json"])
    elif form is not None:
        raise BadInputError(f"--format {form} is for a file, and without -o the speech is played.")
    if play or output is None:
        from ..devices.play import check_speaker  # PortAudio is loaded for this alone
        from ..devices.portaudio import NoSoundError

        try:
            check_speaker()
        except NoSoundError as error:
            raise MimoEdgeError(
                f"{str(error).rstrip('.')}; -o FILE without --play writes the speech to a file."
            ) from error
        play = True
    return output, play


@contextlib.contextmanager
def _speaker(model: MimoAudio, play: bool) -> Iterator[OnSound | None]:
    """What plays speech while it is generated, and at its end waits until it was heard."""
    if not play:
        yield None
        return
    from ..devices.play import Loudspeaker

    with Loudspeaker(model.sample_rate) as loudspeaker:
        yield loudspeaker.push


def _give(
    console: Console,
    model: MimoAudio,
    answer: Answer,
    output: SpeechOutput | None,
    *,
    task: str,
    played: bool,
) -> None:
    """Write the speech, and print what goes with it."""
    if answer.audio is None:
        remedy = "try another --seed"
        if not is_known(model.manifest):
            remedy += ", or a checkpoint that is known to be trained for this"
        where = "nothing is played" if output is None else f"{output} was not written"
        raise MimoEdgeError(
            f"the model answered without speech ({answer.text!r}), so {where}; {remedy}."
        )
    if output is not None:
        output.write(answer.audio, answer.sample_rate)
    seconds = f"{len(answer.audio) / answer.sample_rate:.2f} s of speech"
    details = describe(answer, verbose=console.verbose)
    console.note("; ".join(filter(None, (f"{output or 'speaker'}: {seconds}", details))))
    if output is not None and output.path is None:
        console.note(answer.text)
    else:
        console.text(answer.text)
    console.record(task=task, output=output, played=played, **answer_record(answer))
