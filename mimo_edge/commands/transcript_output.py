"""Where `transcribe` writes what is said, and in which format."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from ..atomic import atomic_output, check_output
from ..audio import SurveyedSound
from ..bundle.manifest import Manifest
from ..errors import BadInputError
from ..tasks import Transcribe
from ..transcription import AUTOMATIC, FORMATS, Transcript, Unfinished
from .inputs import STANDARD_INPUT, check_apart, label_of
from .option_kinds import option_group

__all__ = ["TranscriptOptions", "TranscriptOutput", "transcript_options"]

_STDOUT = "-"
_MOST_AT_ONCE = 32


@dataclass(frozen=True, kw_only=True)
class TranscriptOptions:
    """The options of `transcript_options`."""

    output: str | None
    form: str | None
    parallel: int | None
    restart: bool

    @property
    def at_once(self) -> int:
        """Parts of a recording that are answered at a time."""
        return self.parallel or AUTOMATIC

    def outputs(self, audio: Sequence[str], *, as_json: bool) -> dict[str, TranscriptOutput]:
        """Recording → where its transcript goes; whether it can be written is found out now.

        Raises:
            MimoEdgeError: it cannot, it is a recording, or there is one name for several.
        """
        if self.output in (None, _STDOUT):
            return dict.fromkeys(audio, self._printed(len(audio), as_json=as_json))
        path = Path(self.output or "")
        if path.is_dir() or str(self.output).endswith((os.sep, "/")):  # both on Windows
            return self._in_folder(audio, path)
        if len(audio) > 1:
            raise BadInputError(
                f"{self.output} is one file for {len(audio)} recordings; give a folder that is "
                "there."
            )
        form = self.form or path.suffix[1:].lower()
        output = TranscriptOutput(path=path, form=form if form in FORMATS else "txt")
        check_output(path)
        check_apart(audio, [path])
        return {audio[0]: output}

    def _printed(self, recordings: int, *, as_json: bool) -> TranscriptOutput:
        form = self.form or "txt"
        if form != "txt" and as_json:
            raise BadInputError(
                f"--json and --output-format {form} both write to standard output; give -o FILE."
            )
        if form != "txt" and recordings > 1:
            raise BadInputError(
                f"{recordings} recordings as {form} would run into each other on standard output; "
                "give -o FOLDER."
            )
        return TranscriptOutput(path=None, form=form)

    def _in_folder(self, audio: Sequence[str], folder: Path) -> dict[str, TranscriptOutput]:
        form = self.form or "txt"
        paths = {
            name: folder / f"{'stdin' if name == STANDARD_INPUT else Path(name).stem}.{form}"
            for name in audio
        }
        # On many disks names that differ in capitals are one file.
        counted = Counter(str(path).casefold() for path in paths.values())
        twice = [path for path in paths.values() if counted[str(path).casefold()] > 1]
        if twice:
            raise BadInputError(
                f"several recordings would be written to {twice[0]}; transcribe them one by one."
            )
        for path in paths.values():
            check_output(path)
        check_apart(audio, paths.values())
        return {name: TranscriptOutput(path=path, form=form) for name, path in paths.items()}


transcript_options = option_group(
    "result",
    TranscriptOptions,
    click.option(
        "-o",
        "--output",
        type=click.Path(allow_dash=True),
        help="File to write, or a folder for several; a run that was stopped goes on from FILE"
        ".partial.  [default: standard output]",
    ),
    click.option(
        "--output-format",
        "form",
        type=click.Choice(list(FORMATS), case_sensitive=False),
        show_default="by the name of the file, else txt",
        help="Text, subtitles, or JSON with the times of every part.",
    ),
    click.option(
        "--parallel",
        type=click.IntRange(1, _MOST_AT_ONCE),
        show_default=f"{AUTOMATIC}",
        help="Parts of a long recording that are answered at once.",
    ),
    click.option("--restart", is_flag=True, help="Begin anew where another run was stopped."),
)


@dataclass(frozen=True, kw_only=True)
class TranscriptOutput:
    """Where one transcript goes."""

    path: Path | None
    """The file; None: standard output."""
    form: str
    """One of `FORMATS`."""

    @contextlib.contextmanager
    def unfinished(
        self, manifest: Manifest, task: Transcribe, recording: SurveyedSound, *, restart: bool
    ) -> Iterator[Unfinished | None]:
        """What was done by another run, and where each part is kept when it is done.

        None where nothing can be kept: standard output, a device.

        Raises:
            MimoEdgeError: another run was stopped at something else, or the disk is full.
        """
        if self.path is None or (self.path.exists() and not self.path.is_file()):
            yield None
            return
        with Unfinished.open(self.path, manifest, task, recording, restart=restart) as unfinished:
            yield unfinished

    def text(self, transcript: Transcript) -> str:
        """The transcript in its format."""
        return FORMATS[self.form](transcript)

    def write(self, transcript: Transcript, unfinished: Unfinished | None) -> None:
        """Write the file, whole; what was kept meanwhile is not needed any more.

        Raises:
            OutputError: it cannot be written; then what was kept still is.
        """
        assert self.path is not None
        with atomic_output(self.path) as file:
            file.write(self.text(transcript).encode())
        if unfinished is not None:
            unfinished.remove()


def kept_in(unfinished: Unfinished) -> str:
    """What to say of a run that was stopped."""
    path = label_of(str(unfinished.path))
    return f"what was done is in {path}; the same command goes on from there."
