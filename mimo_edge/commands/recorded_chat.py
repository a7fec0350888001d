"""A conversation over recorded turns: one answer after the other, as files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..answer import Answer
from ..atomic import check_output, made_folder, output_errors
from ..audio import write_audio
from ..errors import OutputError
from ..json_lines import JsonLines
from ..model import MimoAudio
from ..prompt.prompts import Reply
from ..session import Session
from .console import Console, answer_record, describe

__all__ = ["RecordedChat", "answers_folder"]

_TRANSCRIPT = "transcript.jsonl"


@dataclass(frozen=True, kw_only=True)
class RecordedChat:
    """A conversation over recorded turns."""

    console: Console
    model: MimoAudio
    session: Session
    reply: Reply | None
    """None: as the session answers."""
    output: Path | None
    """Folder for the answers (answer-1.wav, …) and their transcript; None: they are not kept."""
    suffix: str
    """Format of the answers' files, by its ending without the dot."""
    transcribe: bool
    """Whether the questions are written down, too."""

    def answer(self, inputs: Sequence[str]) -> None:
        """Answer every recording.

        A conversation that goes on (its session has turns) adds to what the folder holds.

        Raises:
            MimoEdgeError: a recording cannot be read, or a file cannot be written.
        """
        first = _turns_in(self.output) + 1 if self.session.turns and self.output else 1
        for number, path in enumerate(inputs, start=first):
            question = self.model.transcribe(path).text if self.transcribe else None
            with self.console.busy("thinking"):
                answer = self.session.ask(path, reply=self.reply, on_text=self.console.live_text())
            self._report(answer, number, path, question)
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


def _turns_in(output: Path) -> int:
    """Turns of the conversation that the folder holds already; a continued one adds to them."""
    transcript = output / _TRANSCRIPT
    return transcript.read_bytes().count(b"\n") if transcript.is_file() else 0


@contextlib.contextmanager
def answers_folder(folder: Path, turns: int, suffix: str) -> Iterator[None]:
    """Make the folder of the answers and find out whether they can be written there.

    It is gone again after the block if there was none before and no answer came.

    Raises:
        MimoEdgeError: it cannot be made, or a file is in the way.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(made_folder(folder))
        except OSError as error:
            raise OutputError(
                f"{folder} cannot be made ({error.strerror}); give another --output."
            ) from error
        transcript = folder / _TRANSCRIPT
        check_output(transcript)
        if transcript.exists() and not transcript.is_file():
            raise OutputError(f"{transcript} is no regular file; give another --output.")
        for number in range(1, turns + 1):
            check_output(_answer_path(folder, number, suffix))
        yield


def _answer_path(folder: Path, number: int, suffix: str) -> Path:
    return folder / f"answer-{number}.{suffix}"
