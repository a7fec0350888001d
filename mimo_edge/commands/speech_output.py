"""Where the commands' speech goes: a file, or standard output for the next program."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from ..atomic import check_output
from ..audio import AUDIO_ENDINGS, check_audio_name, encode_audio, write_audio
from ..errors import BadInputError
from .inputs import check_apart
from .options import decorate

__all__ = ["SpeechOutput", "speech_output_options"]


@dataclass(frozen=True, kw_only=True)
class SpeechOutput:
    """Where a command writes its speech, and in which format."""

    path: Path | None
    """The file; None: standard output."""
    ending: str
    """How the names of files in its format end, for example `.wav`."""

    @classmethod
    def choose(
        cls,
        name: str,
        form: str | None,
        *,
        as_json: bool,
        inputs: Iterable[str | Path | None],
    ) -> SpeechOutput:
        """What `-o NAME --format FORM` means; whether it can be written is found out now.

        Raises:
            MimoEdgeError: it cannot, it is one of the inputs, or the name does not tell the format.
        """
        if name != "-":
            path = Path(name)
            if form is None:
                check_audio_name(path)
            check_output(path)
            check_apart(inputs, [path])
            return cls(path=path, ending=f".{form}" if form else path.suffix)
        if as_json:
            raise BadInputError("-o - and --json both write to standard output; give -o FILE.")
        if sys.stdout.isatty():
            raise BadInputError(
                "-o - writes sound to standard output, and that is a terminal; lead it to a "
                "program (| aplay) or give -o FILE."
            )
        return cls(path=None, ending=f".{form or 'wav'}")

    def write(self, samples: NDArray[np.float32], rate: int) -> None:
        """Write mono float32 [samples] within ±1, of `rate` Hz.

        Raises:
            OutputError: the file cannot be written.
        """
        if self.path is not None:
            write_audio(self.path, samples, rate, ending=self.ending)
            return
        sys.stdout.flush()  # text that was printed comes before the bytes
        sys.stdout.buffer.write(encode_audio(samples, rate, self.ending))
        sys.stdout.flush()

    def __str__(self) -> str:
        """The name for messages."""
        return str(self.path) if self.path is not None else "standard output"


def speech_output_options(*, required: bool) -> Callable[[Any], Any]:
    """`-o` and `--format` as a decorator; the parameters are `output` and `form`."""
    default = "" if required else "  [default: play it]"
    return decorate(
        click.option(
            "-o",
            "--output",
            required=required,
            type=click.Path(dir_okay=False, allow_dash=True),
            help="File to write: WAV, FLAC, MP3, OGG or Opus by its name; -: standard output."
            + default,
        ),
        click.option(
            "--format",
            "form",
            type=click.Choice([ending[1:] for ending in AUDIO_ENDINGS], case_sensitive=False),
            show_default="by the name; wav on standard output",
            help="Format of the sound.",
        ),
    )
