"""The commands whose result is speech: `speak`, `few-shot`, `continue`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from .audio import check_audio_name, write_audio
from .console import Console, answer_record, describe
from .engine import Answer
from .errors import MimoEdgeError, NotTrainedError
from .inputs import check_recordings
from .options import (
    AUDIO,
    OUTPUT,
    console_from,
    decorate,
    model_from,
    model_options,
    output_options,
    overrides_from,
    sampling_options,
)
from .text_input import read_text
from .trained_tasks import is_known

__all__ = ["continue_", "few_shot", "speak"]

_speech_options = decorate(
    click.option(
        "-o",
        "--output",
        type=OUTPUT,
        help="File to write: WAV, FLAC, MP3, OGG or Opus by its name.  [default: play it]",
    ),
    click.option("--play", is_flag=True, help="Play the speech, too, where --output writes it."),
    click.option(
        "--anyway", is_flag=True, help="Try what this checkpoint was not trained for, too."
    ),
)


@click.command()
@click.argument("text")
@_speech_options
@click.option("--style", help="How TEXT is to be said, in words.")
@click.option("--style-in-text", is_flag=True, help="TEXT says itself how it is to be said.")
@click.option("--voice", type=AUDIO, help="A recording whose voice to use.")
@model_options
@sampling_options
@output_options
def speak(text: str, output: Path | None, play: bool, **values: Any) -> None:
    """Say TEXT ("-": read it from standard input), through the speaker or into a file."""
    play = _check_output(output, play)
    check_recordings([values["voice"]])
    console, overrides = console_from(values), overrides_from(values)
    if text == "-":
        text = read_text()
    with (
        model_from(console, values, "speak") as model,
        console.busy("speaking"),
        _naming_the_flag(),
    ):
        answer = model.speak(text, overrides=overrides, **values)
        known = is_known(model.manifest)
    _give(console, answer, output, play=play, task="speak", known=known)


@click.command("few-shot")
@click.argument("audio", type=AUDIO)
@click.option("--instruction", required=True, help="What is done in the examples.")
@click.option(
    "--example",
    "examples",
    type=(str, str, str),
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
    output: Path | None,
    play: bool,
    anyway: bool,
    **values: Any,
) -> None:
    """Do with AUDIO what the examples show (base model)."""
    play = _check_output(output, play)
    check_recordings([*(path for example in examples for path in example[:2]), audio])
    console, overrides = console_from(values), overrides_from(values)
    with model_from(console, values) as model, console.busy("speaking"), _naming_the_flag():
        answer = model.few_shot(instruction, examples, audio, anyway=anyway, overrides=overrides)
        known = is_known(model.manifest)
    _give(console, answer, output, play=play, task="few-shot", known=known)


@click.command("continue")
@click.argument("audio", type=AUDIO)
@_speech_options
@model_options
@sampling_options
@output_options
def continue_(audio: str, output: Path | None, play: bool, anyway: bool, **values: Any) -> None:
    """Go on speaking where AUDIO ends (base model)."""
    play = _check_output(output, play)
    check_recordings([audio])
    console, overrides = console_from(values), overrides_from(values)
    with model_from(console, values) as model, console.busy("speaking"), _naming_the_flag():
        answer = model.continue_speech(audio, anyway=anyway, overrides=overrides)
        known = is_known(model.manifest)
    _give(console, answer, output, play=play, task="continue", known=known)


def _check_output(output: Path | None, play: bool) -> bool:
    """Whether to play; refuses at once what could be neither written nor played."""
    if output is not None:
        check_audio_name(output)
    if play or output is None:
        from .live.play import check_speaker  # PortAudio is loaded for this alone
        from .live.portaudio import NoSoundError

        try:
            check_speaker()
        except NoSoundError as error:
            raise MimoEdgeError(
                f"{str(error).rstrip('.')}; -o FILE without --play writes the speech to a file."
            ) from error
        return True
    return False


@contextlib.contextmanager
def _naming_the_flag() -> Iterator[None]:
    try:
        yield
    except NotTrainedError as error:
        raise MimoEdgeError(
            f"{str(error).rstrip('.')} (--anyway tries it all the same)."
        ) from error


def _give(
    console: Console, answer: Answer, output: Path | None, *, play: bool, task: str, known: bool
) -> None:
    """Write the speech, play it, and print what goes with it."""
    if answer.audio is None:
        remedy = "try another --seed"
        if not known:
            remedy += ", or a checkpoint that is known to be trained for this"
        where = "nothing is played" if output is None else f"{output} was not written"
        raise MimoEdgeError(
            f"the model answered without speech ({answer.text!r}), so {where}; {remedy}."
        )
    if output is not None:
        write_audio(output, answer.audio, answer.sample_rate)
    seconds = f"{len(answer.audio) / answer.sample_rate:.2f} s"
    console.note(f"{output or 'speaker'}: {seconds}; {describe(answer)}")
    console.text(answer.text)
    if play:
        from .live.play import play as play_now

        play_now(answer.audio, answer.sample_rate)
    console.record(task=task, output=output, played=play, **answer_record(answer))
