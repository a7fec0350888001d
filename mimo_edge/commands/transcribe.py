"""`mimo-edge transcribe`: recordings to text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import click

from ..answer import OnText
from ..errors import BadInputError, MimoEdgeError
from ..model import MimoAudio
from ..tasks import Overrides
from .console import Console, answer_record, describe
from .inputs import check_recordings, label_of, unreadable
from .options import AUDIO, TEXT, ModelOptions, model_options, output_options, sampling_options
from .remedies import with_option

__all__ = ["transcribe"]


@click.command()
@click.argument("audio", nargs=-1, required=True, type=AUDIO)
@click.option("--instruction", type=TEXT, help="What to ask for, for example in another language.")
@model_options
@sampling_options
@output_options
def transcribe(
    audio: tuple[str, ...],
    instruction: str | None,
    options: ModelOptions,
    overrides: Overrides,
    console: Console,
) -> None:
    """Write down what is said in AUDIO ("-": standard input).

    Of several recordings, each text is printed behind the name of its file. One that cannot be
    read is reported and left out; the exit status then is 1.
    """
    if len(audio) == 1:
        check_recordings(audio)
        with options.load(console, "transcribe") as model:
            _Transcriber(console, model, instruction, overrides).transcribe(audio[0])
        return
    faults = unreadable(audio)
    for fault in faults.values():
        console.complain(fault)
    if len(faults) < len(set(audio)):
        with options.load(console, "transcribe") as model:
            transcriber = _Transcriber(console, model, instruction, overrides)
            faults = transcriber.transcribe_all(audio, faults)
    else:
        for path in audio:
            console.record(task="transcribe", input=path, error=faults[path])
    if faults:
        raise BadInputError(_summary(audio, faults))


@dataclass(frozen=True)
class _Transcriber:
    """Writes recordings down and prints the texts."""

    console: Console
    model: MimoAudio
    instruction: str | None
    overrides: Overrides

    def transcribe_all(self, audio: Sequence[str], faults: dict[str, str]) -> dict[str, str]:
        """Every recording that has no fault yet; returns the faults with those that came up."""
        faults = dict(faults)
        for path in audio:
            if path not in faults:
                try:
                    self.transcribe(path, f"{label_of(path)}: ")
                    continue
                except MimoEdgeError as error:
                    name, sentence = label_of(path), with_option(error)
                    faults[path] = sentence if name in sentence else f"{name}: {sentence}"
                    self.console.complain(faults[path])
            self.console.record(task="transcribe", input=path, error=faults[path])
        return faults

    def transcribe(self, path: str, label: str = "") -> None:
        """One recording; its text is printed behind the label."""
        console = self.console
        answer = self.model.transcribe(
            path,
            instruction=self.instruction,
            overrides=self.overrides,
            on_text=_labelled(console.live_text(), label),
        )
        console.text(label + answer.text)
        console.record(task="transcribe", input=path, **answer_record(answer))
        if console.verbose:
            console.note(describe(answer, verbose=True))


def _labelled(live: OnText | None, label: str) -> OnText | None:
    """Shows the label in front of the first piece of a text that is shown while it is made."""
    if live is None or not label:
        return live
    pending = [label]

    def show(text: str) -> None:
        live("".join(pending) + text)
        pending.clear()

    return show


def _summary(audio: Sequence[str], faults: dict[str, str]) -> str:
    failed = [path for path in audio if path in faults]
    names = ", ".join(map(label_of, dict.fromkeys(failed)))
    return (
        f"{len(failed)} of {len(audio)} recordings could not be transcribed: {names}; "
        "the reasons are above."
    )
