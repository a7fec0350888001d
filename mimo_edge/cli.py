"""The command `mimo-edge`."""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import click

from . import codes_file
from .atomic import check_folder
from .audio import check_audio_name, write_audio
from .bench import bench
from .chat import chat
from .compare import compare
from .console import Console, answer_record, describe, run_command
from .engine import Answer
from .errors import MimoEdgeError
from .info import info
from .lookahead import lookahead
from .options import (
    console_from,
    model_from,
    model_options,
    output_options,
    overrides_from,
    sampling_options,
)
from .picture import picture

__all__ = ["ConvertCommand", "cli", "main"]

AUDIO = click.Path(path_type=str, allow_dash=True)


class _OutputFile(click.Path):
    """A file to write, whose folder is looked at before any work is done."""

    def convert(self, *args: Any, **extra: Any) -> Any:
        path: Any = super().convert(*args, **extra)
        check_folder(path)
        return path


OUTPUT = _OutputFile(path_type=Path, dir_okay=False)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mimo-edge")
def cli() -> None:
    """MiMo-Audio, the model that listens and speaks, on this machine."""


@cli.command()
@click.argument("audio", nargs=-1, required=True, type=AUDIO)
@click.option("--instruction", help="What to ask for, for example in another language.")
@model_options
@sampling_options
@output_options
def transcribe(audio: tuple[str, ...], instruction: str | None, **values: Any) -> None:
    """Write down what is said in AUDIO ("-": standard input)."""
    console, overrides = console_from(values), overrides_from(values)
    with model_from(console, values) as model:
        for path in audio:
            answer = model.transcribe(
                path, instruction=instruction, overrides=overrides, on_text=console.live_text()
            )
            console.text(answer.text)
            console.record(task="transcribe", input=path, **answer_record(answer))
            if console.verbose:
                console.note(describe(answer))


@cli.command()
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
    console, overrides = console_from(values), overrides_from(values)
    if text == "-":
        text = sys.stdin.read().strip()
    with model_from(console, values) as model, console.busy("speaking"):
        answer = model.speak(text, overrides=overrides, **values)
    _write_speech(console, answer, output, "speak")


@cli.command()
@click.argument("audio", type=AUDIO)
@click.argument("question")
@click.option("--think", is_flag=True, help="Think aloud before answering.")
@model_options
@sampling_options
@output_options
def ask(audio: str, question: str, think: bool, **values: Any) -> None:
    """Answer QUESTION about AUDIO in text."""
    console, overrides = console_from(values), overrides_from(values)
    with model_from(console, values) as model:
        answer = model.ask(
            audio, question, thinking=think, overrides=overrides, on_text=console.live_text()
        )
    console.text(answer.text)
    console.record(task="ask", input=audio, question=question, **answer_record(answer))


@cli.command()
@click.argument("messages", nargs=-1)
@click.option("--system", help="Instructions for the whole conversation.")
@click.option("--think", is_flag=True, help="Think aloud before answering.")
@model_options
@sampling_options
@output_options
def text(messages: tuple[str, ...], system: str | None, think: bool, **values: Any) -> None:
    """Chat in text: one turn per MESSAGE, or per line of standard input."""
    console, overrides = console_from(values), overrides_from(values)
    lines = messages or (line.strip() for line in sys.stdin)
    with (
        model_from(console, values) as model,
        model.session(
            reply="thinking" if think else "text", system=system, overrides=overrides
        ) as session,
    ):
        for line in filter(None, lines):
            answer = session.ask(text=line, on_text=console.live_text())
            console.text(answer.text)
            console.record(task="text", request=line, **answer_record(answer))


@cli.command("few-shot")
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
    console, overrides = console_from(values), overrides_from(values)
    with model_from(console, values) as model, console.busy("speaking"):
        answer = model.few_shot(instruction, examples, audio, overrides=overrides)
    _write_speech(console, answer, output, "few-shot")


@cli.command("continue")
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
    console, overrides = console_from(values), overrides_from(values)
    with model_from(console, values) as model, console.busy("speaking"):
        answer = model.continue_speech(audio, overrides=overrides)
    _write_speech(console, answer, output, "continue")


@cli.command()
@click.argument("audio", type=AUDIO)
@click.option("-o", "--output", required=True, type=OUTPUT, help="File of codes to write, a .npz.")
@model_options
@output_options
def encode(audio: str, output: Path, **values: Any) -> None:
    """Turn AUDIO into a file of RVQ codes."""
    codes_file.check_name(output)
    console = console_from(values)
    with model_from(console, values) as model:
        codes = model.encode(audio)
        codes_file.write(output, codes, model.manifest)
    console.note(f"{output}: {len(codes)} steps of {codes.shape[1]} codes")
    console.record(task="encode", input=audio, output=output, shape=codes.shape)


@cli.command()
@click.argument("codes", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=OUTPUT,
    help="File to write: WAV, FLAC, MP3, OGG or Opus by its name.",
)
@model_options
@output_options
def decode(codes: Path, output: Path, **values: Any) -> None:
    """Turn a file of RVQ CODES into sound."""
    check_audio_name(output)
    console = console_from(values)
    with model_from(console, values) as model:
        samples = model.decode(codes_file.read(codes, model.manifest))
        write_audio(output, samples, model.sample_rate)
        seconds = len(samples) / model.sample_rate
    console.note(f"{output}: {seconds:.2f} s")
    console.record(task="decode", input=codes, output=output, seconds=seconds)


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


class ConvertCommand(click.Command):
    """`mimo-edge convert`, loaded only when it is used: it needs more packages."""

    def _real(self) -> click.Command:
        packaged = find_spec("mimo_edge.convert") is not None
        try:
            module = importlib.import_module("mimo_edge.convert.cli" if packaged else "convert.cli")
        except ModuleNotFoundError as error:
            raise MimoEdgeError(
                f"converting needs the package {error.name}; install all that it needs with "
                "`pip install 'mimo-edge[convert]'`."
            ) from error
        command: click.Command = module.convert_command
        return command

    def main(self, *args: Any, **extra: Any) -> Any:
        """As a program of its own."""
        return self._real().main(*args, **extra)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """With the real command's options."""
        return self._real().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """The real command."""
        return self._real().invoke(ctx)


cli.add_command(bench)
cli.add_command(chat)
cli.add_command(info)
cli.add_command(lookahead)
cli.add_command(picture)
cli.add_command(compare)
cli.add_command(ConvertCommand("convert", short_help="Turn a checkpoint into a bundle."))


def main(argv: list[str] | None = None) -> NoReturn:
    """Entry point of `mimo-edge`."""
    run_command(cli, argv)
