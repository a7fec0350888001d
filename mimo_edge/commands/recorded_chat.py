"""A conversation over recorded turns: one answer after the other, as files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ..answer import Answer, OnText
from ..atomic import check_output, made_folder, output_errors
from ..audio import AUDIO_ENDINGS, write_audio
from ..errors import OutputError
from ..json_lines import JsonLines
from ..windows_names import length_fault
from .console import Console, answer_record, describe
from .inputs import check_apart
from .option_kinds import decorate

__all__ = ["Asked", "RecordedChat", "answers_folder", "recorded_options"]

_TRANSCRIPT = "transcript.jsonl"

recorded_options = decorate(
    click.option(
        "--input",
        "inputs",
        multiple=True,
        metavar="AUDIO",
        help='A recorded turn instead of the microphone ("-": standard input); several times for '
        "several turns.",
    ),
    click.option(
        "--output",
        type=click.Path(path_type=Path, file_okay=False),
        help="With --input: folder for the answers (answer-1.wav, …) and transcript.jsonl.",
    ),
    click.option(
        "--format",
        "suffix",
        type=click.Choice([ending[1:] for ending in AUDIO_ENDINGS], case_sensitive=False),
        default="wav",
        show_default=True,
        help="Sound format of the answers that --output writes.",
    ),
)
"""Of every command that converses: `inputs`, `output` and `suffix`."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What came of a recorded turn."""

    answer: Answer
    question: str | None
    """The recording in words; None: nobody asked for them, or they are not known."""


@dataclass(frozen=True, kw_only=True)
class RecordedChat:
    """A conversation over recorded turns."""

    console: Console
    ask: Callable[[str, OnText | None], Asked]
    """Asks a recording, and tells the text of the answer while it comes.

    Raises MimoEdgeError if the recording cannot be read or answered."""
    continued: bool
    """Whether the conversation began before and adds to what the folder holds."""
    output: Path | None
    """Folder for the answers (answer-1.wav, …) and their transcript; None: they are not kept."""
    suffix: str
    """Format of the answers' files, by its ending without the dot."""

    def answer(self, inputs: Sequence[str]) -> None:
        """Have every recording answered.

        Raises:
            MimoEdgeError: a recording cannot be read, or a file cannot be written.
        """
        first = _first_turn(self.output, continued=self.continued) if self.output else 1
        for number, path in enumerate(inputs, start=first):
            with self.console.busy("thinking"):
                asked = self.ask(path, self.console.live_text())
            self._report(asked.answer, number, path, asked.question)
        if self.output is not None:
            self.console.note(f"{self.output / _TRANSCRIPT}: what was said")

    def _report(self, answer: Answer, number: int, path: str, question: str | None) -> None:
        """Print a turn and write its sound and its line of the transcript."""
        console = self.console
        if question is not None:
            console.note(f"question {number}: {question}")
        written = self._write_sound(answer, number)
        record = {
            "turn": number,
            "input": path,
            "question": question,
            "audio": written.name if written else None,
            **answer_record(answer),
        }
        if self.output is not None:
            _write_record(self.output / _TRANSCRIPT, record, first=number == 1)
        console.text(answer.text)
        details = describe(answer, verbose=console.verbose)
        if note := "; ".join(filter(None, (str(written) if written else "", details))):
            console.note(note)
        console.record(**record)

    def _write_sound(self, answer: Answer, number: int) -> Path | None:
        if self.output is None or answer.audio is None:
            return None
        path = _answer_path(self.output, number, self.suffix)
        write_audio(path, answer.audio, answer.sample_rate)
        return path


def _write_record(path: Path, record: dict[str, Any], *, first: bool) -> None:
    """Add a line; what was written of earlier turns stays if the disk is full."""
    with (
        output_errors(path, "check the folder and the free disk"),
        JsonLines(path, "replace" if first else "append") as lines,
    ):
        lines.write(record)


def _first_turn(output: Path, *, continued: bool) -> int:
    """Number of the next turn: a continued conversation adds to those that the folder holds."""
    transcript = output / _TRANSCRIPT
    return 1 + (transcript.read_bytes().count(b"\n") if continued and transcript.is_file() else 0)


@contextlib.contextmanager
def answers_folder(
    folder: Path,
    inputs: Sequence[str],
    suffix: str,
    *,
    speaks: bool,
    continued: bool = False,
    voice: str | None = None,
) -> Iterator[None]:
    """Make the folder of the answers and find out whether they can be written there.

    It is gone again after the block if there was none before and no answer came.

    Raises:
        MimoEdgeError: it cannot be made, a file is in the way, or an answer would be written over
            a recording.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(made_folder(folder))
        except OSError as error:
            why = f"{error.strerror}{length_fault(folder)}"
            raise OutputError(f"{folder} cannot be made ({why}); give another --output.") from error
        transcript = folder / _TRANSCRIPT
        check_output(transcript)
        if transcript.exists() and not transcript.is_file():
            raise OutputError(f"{transcript} is no regular file; give another --output.")
        first = _first_turn(folder, continued=continued)
        numbers = range(first, first + len(inputs)) if speaks else ()
        answers = [_answer_path(folder, number, suffix) for number in numbers]
        for path in answers:
            check_output(path)
        check_apart([*inputs, voice], answers)
        yield


def _answer_path(folder: Path, number: int, suffix: str) -> Path:
    return folder / f"answer-{number}.{suffix}"
