"""The commands whose result is speech: `speak`, `few-shot`, `continue`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from .audio import check_audio_name, write_audio
from .console import Console, answer_record, describe
from .engine import Answer
from .errors import MimoEdgeError
from .inputs import check_recordings
from .options import (
    AUDIO,
    OUTPUT,
    console_from,
    model_from,
    model_options,
    output_options,
    overrides_from,
    sampling_options,
)

__all__ = ["continue_", "few_shot", "speak"]


@click.command()
@click.argument("text")
@click.option(
    "-o",
    "--output",
    required=True,
    type=OUTPUT,
    help="File to write: WAV, FLAC, MP3, OGG or Opus by its name.",
)
@click.option("--style", help="How TEXT is to be said, in words.")
@click.option("--style-in-text", is_flag=True, help="TEXT says itself how it is to be said.")
@click.option("--voice", type=AUDIO, help="A recording whose voice to use.")
@model_options
@sampling_options
@output_options
def speak(text: str, output: Path, **values: Any) -> None:
    """Say TEXT ("-": read it from standard input)."""
    check_audio_name(output)
    check_recordings([values["voice"]])
    console, overrides = console_from(values), overrides_from(values)
    if text == "-":
        text = sys.stdin.read().strip()
    with model_from(console, values) as model, console.busy("speaking"):
        answer = model.speak(text, overrides=overrides, **values)
    _write_speech(console, answer, output, "speak")


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
@click.option(
    "-o",
    "--output",
    required=True,
    type=OUTPUT,
    help="File to write: WAV, FLAC, MP3, OGG or Opus by its name.",
)
@model_options
@sampling_options
@output_options
def few_shot(
    audio: str,
    instruction: str,
    examples: tuple[tuple[str, str, str], ...],
    output: Path,
    **values: Any,
) -> None:
    """Do with AUDIO what the examples show (base model)."""
    check_audio_name(output)
    check_recordings([*(path for example in examples for path in example[:2]), audio])
    console, overrides = console_from(values), overrides_from(values)
    with model_from(console, values) as model, console.busy("speaking"):
        answer = model.few_shot(instruction, examples, audio, overrides=overrides)
    _write_speech(console, answer, output, "few-shot")


@click.command("continue")
@click.argument("audio", type=AUDIO)
@click.option(
    "-o",
    "--output",
    required=True,
    type=OUTPUT,
    help="File to write: WAV, FLAC, MP3, OGG or Opus by its name.",
)
@model_options
@sampling_options
@output_options
def continue_(audio: str, output: Path, **values: Any) -> None:
    """Go on speaking where AUDIO ends (base model)."""
    check_audio_name(output)
    check_recordings([audio])
    console, overrides = console_from(values), overrides_from(values)
    with model_from(console, values) as model, console.busy("speaking"):
        answer = model.continue_speech(audio, overrides=overrides)
    _write_speech(console, answer, output, "continue")


def _write_speech(console: Console, answer: Answer, output: Path, task: str) -> None:
    if answer.audio is None:
        raise MimoEdgeError(
            f"the model answered without speech ({answer.text!r}), so {output} was not written; "
            "try another --seed."
        )
    write_audio(output, answer.audio, answer.sample_rate)
    console.text(answer.text)
    console.note(f"{output}: {len(answer.audio) / answer.sample_rate:.2f} s; {describe(answer)}")
    console.record(task=task, output=output, **answer_record(answer))
