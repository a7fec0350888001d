"""`mimo-edge encode`: a recording to a file of codes."""

from __future__ import annotations

from pathlib import Path

import click

from ..audio import codes_file
from .console import Console
from .inputs import check_apart, check_recordings
from .options import AUDIO, OUTPUT, ModelOptions, model_options, output_options

__all__ = ["encode"]


@click.command()
@click.argument("audio", type=AUDIO)
@click.option("-o", "--output", required=True, type=OUTPUT, help="File of codes to write, a .npz.")
@model_options
@output_options
def encode(audio: str, output: Path, options: ModelOptions, console: Console) -> None:
    """Turn AUDIO into a file of RVQ codes."""
    codes_file.check_name(output)
    check_recordings([audio])
    check_apart([audio], [output])
    with options.load(console) as model:
        codes = model.encode(audio)
        codes_file.write(output, codes, model.manifest)
    console.note(f"{output}: {len(codes)} steps of {codes.shape[1]} codes")
    console.record(task="encode", input=audio, output=output, shape=codes.shape)
