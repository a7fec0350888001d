"""The command `mimo-edge`."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, NoReturn

import click

from ..audio import codes_file
from ..errors import MissingPackageError
from ..installation import CONVERTER
from ..measure.bench import bench
from ..measure.compare import compare
from ..measure.info import info
from ..measure.lookahead import lookahead
from ..measure.picture import picture
from .chat import chat
from .console import answer_record
from .inputs import check_recordings
from .options import (
    AUDIO,
    OUTPUT,
    TEXT,
    console_from,
    model_from,
    model_options,
    output_options,
    overrides_from,
    sampling_options,
)
from .program import run_command
from .speak import continue_, few_shot, speak
from .speech_output import SpeechOutput, speech_output_options
from .text import text
from .transcribe import transcribe

__all__ = ["cli", "convert", "main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mimo-edge")
def cli() -> None:
    """MiMo-Audio, the model that listens and speaks, on this machine."""


@cli.command()
@click.argument("audio", type=AUDIO)
@click.argument("question", type=TEXT)
@click.option("--think", is_flag=True, help="Think aloud before answering.")
@model_options
@sampling_options
@output_options
def ask(audio: str, question: str, think: bool, **values: Any) -> None:
    """Answer QUESTION about AUDIO in text."""
    console, overrides = console_from(values), overrides_from(values)
    check_recordings([audio])
    with model_from(console, values, "ask") as model:
        answer = model.ask(
            audio, question, thinking=think, overrides=overrides, on_text=console.live_text()
        )
    console.text(answer.text)
    console.record(task="ask", input=audio, question=question, **answer_record(answer))


@cli.command()
@click.argument("audio", type=AUDIO)
@click.option("-o", "--output", required=True, type=OUTPUT, help="File of codes to write, a .npz.")
@model_options
@output_options
def encode(audio: str, output: Path, **values: Any) -> None:
    """Turn AUDIO into a file of RVQ codes."""
    codes_file.check_name(output)
    check_recordings([audio])
    console = console_from(values)
    with model_from(console, values) as model:
        codes = model.encode(audio)
        codes_file.write(output, codes, model.manifest)
    console.note(f"{output}: {len(codes)} steps of {codes.shape[1]} codes")
    console.record(task="encode", input=audio, output=output, shape=codes.shape)


@cli.command()
@click.argument("codes", type=click.Path(path_type=Path))
@speech_output_options(required=True)
@model_options
@output_options
def decode(codes: Path, output: str, form: str | None, **values: Any) -> None:
    """Turn a file of RVQ CODES into sound."""
    target = SpeechOutput.choose(output, form, as_json=values["as_json"])
    console = console_from(values)
    with model_from(console, values) as model, console.busy("decoding") as tell:
        samples = model.decode(
            codes_file.read(codes, model.manifest),
            progress=lambda done, total: tell(f"decoding, {100 * done // total}%"),
        )
        target.write(samples, model.sample_rate)
        seconds = len(samples) / model.sample_rate
    console.note(f"{target}: {seconds:.2f} s")
    console.record(task="decode", input=codes, output=target, seconds=seconds)


class _ConvertCommand(click.Command):
    """`mimo-edge convert`, loaded only when it is used: it needs more packages."""

    def _real(self) -> click.Command:
        try:
            module = importlib.import_module(f"{CONVERTER}.cli")
        except ModuleNotFoundError as error:
            raise MissingPackageError(
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


convert = _ConvertCommand("convert", short_help="Turn a checkpoint into a bundle.")
cli.add_command(bench)
cli.add_command(chat)
cli.add_command(info)
cli.add_command(lookahead)
cli.add_command(picture)
cli.add_command(speak)
cli.add_command(few_shot)
cli.add_command(continue_)
cli.add_command(text)
cli.add_command(transcribe)
cli.add_command(compare)
cli.add_command(convert)


def main(argv: list[str] | None = None) -> NoReturn:
    """Entry point of `mimo-edge`."""
    run_command(cli, argv)
