"""`python -m mimo_edge.chat`: a spoken conversation, here over recorded files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from .atomic import check_folder
from .audio import check_audio_name, write_audio
from .console import Console, answer_record, describe, run_command
from .engine import Answer
from .errors import MimoEdgeError
from .model import MimoAudio
from .options import (
    console_from,
    model_from,
    model_options,
    output_options,
    overrides_from,
    sampling_options,
)
from .prompts import Reply
from .session import Session
from .tasks import Overrides

__all__ = ["chat"]

_TRANSCRIPT = "transcript.jsonl"


@click.command()
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="AUDIO",
    help='A recorded turn ("-": standard input); several times for several turns.',
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the answers (answer-1.wav, …) and transcript.jsonl.",
)
@click.option("--format", "suffix", default="wav", show_default=True, help="Of the answers.")
@click.option("--system", help="Instructions for the whole conversation.")
@click.option("--voice", metavar="AUDIO", help="A recording whose voice the answers use.")
@click.option("--text-only", is_flag=True, help="Answer in text.")
@click.option("--think", is_flag=True, help="Answer in text after thinking aloud.")
@click.option("--transcribe", is_flag=True, help="Write the questions down too.")
@click.option(
    "--save-session",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the conversation down when it is over, to go on later.",
)
@click.option(
    "--load-session",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Go on with a conversation that was saved.",
)
@model_options
@sampling_options
@output_options
def chat(
    inputs: tuple[str, ...],
    output: Path | None,
    suffix: str,
    save_session: Path | None,
    load_session: Path | None,
    transcribe: bool,
    **values: Any,
) -> None:
    """Talk with the model: one spoken turn per --input, with memory across them."""
    console, overrides = console_from(values), overrides_from(values)
    if not inputs:
        raise MimoEdgeError(
            "there is nothing to listen to: give recordings with --input FILE "
            "(the microphone is not supported yet)."
        )
    check_audio_name(Path(f"answer.{suffix}"))
    reply: Reply | None = None
    if values.pop("text_only"):
        reply = "text"
    if values.pop("think"):
        reply = "thinking"
    system, voice = values.pop("system"), values.pop("voice")
    if output is not None:
        _make_folder(output)
    if save_session is not None:
        check_folder(save_session)
    with (
        model_from(console, values) as model,
        _open_session(model, load_session, reply, system, voice, overrides) as session,
    ):
        first = _turns_in(output) + 1 if load_session and output else 1
        for number, path in enumerate(inputs, start=first):
            question = model.transcribe(path).text if transcribe else None
            with console.busy("thinking"):
                answer = session.ask(path, reply=reply, on_text=console.live_text())
            _report(console, answer, number, path, question, output, suffix)
        if save_session:
            session.save(save_session)


def _open_session(
    model: MimoAudio,
    saved: Path | None,
    reply: Reply | None,
    system: str | None,
    voice: str | None,
    overrides: Overrides,
) -> Session:
    if saved is None:
        return model.session(
            reply=reply or "speech", system=system, voice=voice, overrides=overrides
        )
    if system or voice:
        raise MimoEdgeError(
            "--system and --voice belong to the start of a conversation; "
            "leave them out with --load-session."
        )
    return model.load_session(saved, overrides=overrides)


def _report(
    console: Console,
    answer: Answer,
    number: int,
    path: str,
    question: str | None,
    output: Path | None,
    suffix: str,
) -> None:
    """Print a turn and write its sound and its line of the transcript."""
    if question is not None:
        console.note(f"question {number}: {question}")
    console.text(answer.text)
    written = _write_answer(answer, number, output, suffix)
    record = {
        "turn": number,
        "input": path,
        "question": question,
        "audio": written.name if written else None,
        **answer_record(answer),
    }
    if output is not None:
        _write_record(output / _TRANSCRIPT, record, first=number == 1)
    console.note((f"{written}: " if written else "") + describe(answer))
    console.record(**record)


def _write_answer(answer: Answer, number: int, output: Path | None, suffix: str) -> Path | None:
    if output is None or answer.audio is None:
        return None
    path = output / f"answer-{number}.{suffix}"
    write_audio(path, answer.audio, answer.sample_rate)
    return path


def _write_record(path: Path, record: dict[str, Any], *, first: bool) -> None:
    """Add a line; what was written of earlier turns stays if the disk is full."""
    try:
        with path.open("w" if first else "a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    except OSError as error:
        raise MimoEdgeError(
            f"{path} cannot be written ({error.strerror}); check the folder and the free disk."
        ) from error


def _turns_in(output: Path) -> int:
    """Turns of the conversation that the folder holds already; a continued one adds to them."""
    transcript = output / _TRANSCRIPT
    return len(transcript.read_text("utf-8").splitlines()) if transcript.is_file() else 0


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MimoEdgeError(
            f"{folder} cannot be made ({error.strerror}); give another --output."
        ) from error


if __name__ == "__main__":
    run_command(chat)
