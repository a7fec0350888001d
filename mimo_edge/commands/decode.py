"""`mimo-edge decode`: a file of codes to sound."""

from __future__ import annotations

from pathlib import Path

import click

from ..audio import codes_file
from .console import Console
from .options import ModelOptions, model_options, output_options
from .speech_output import SpeechOutput, speech_output_options

__all__ = ["decode"]


@click.command()
@click.argument("codes", type=click.Path(path_type=Path))
@speech_output_options(required=True)
@model_options
@output_options
def decode(
    codes: Path, output: str, form: str | None, options: ModelOptions, console: Console
) -> None:
    """Turn a file of RVQ CODES into sound."""
    target = SpeechOutput.choose(output, form, as_json=console.as_json, inputs=[codes])
    with options.load(console) as model, console.busy("decoding") as tell:
        samples = model.decode(
            codes_file.read(codes, model.manifest),
            progress=lambda done, total: tell(f"decoding, {100 * done // total}%"),
        )
        target.write(samples, model.sample_rate)
        seconds = len(samples) / model.sample_rate
    console.note(f"{target}: {seconds:.2f} s")
    console.record(task="decode", input=codes, output=target, seconds=seconds)
