"""`mimo-edge transcribe`: recordings to text."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import click
import numpy as np

from ..answer import Answer, OnText, first_cut
from ..audio import SurveyedSound
from ..errors import BadInputError, MimoEdgeError
from ..model import MimoAudio
from ..prompt.prompts import Language
from ..tasks import Overrides, Transcribe
from ..transcription import Segment, Transcript, Unfinished, positions_for, write_down
from .console import Console, answer_record, describe
from .inputs import check_recordings, label_of, unreadable
from .options import AUDIO, TEXT, ModelOptions, model_options, output_options, sampling_options
from .progress import progress_bar
from .remedies import with_option
from .transcript_output import TranscriptOptions, TranscriptOutput, kept_in, transcript_options

__all__ = ["transcribe"]


@click.command()
@click.argument("audio", nargs=-1, required=True, type=AUDIO)
@click.option("--instruction", type=TEXT, help="What to ask for, for example in another language.")
@click.option(
    "--language",
    type=click.Choice(["auto", "en", "zh"]),
    default="auto",
    show_default=True,
    help="What is spoken. MiMo-V2.5-ASR writes in it; MiMo-Audio is asked in it.",
)
@transcript_options
@model_options
@sampling_options
@output_options
def transcribe(
    audio: tuple[str, ...],
    instruction: str | None,
    language: Language,
    result: TranscriptOptions,
    options: ModelOptions,
    overrides: Overrides,
    console: Console,
) -> None:
    """Write down what is said in AUDIO ("-": standard input).

    A recording may be hours long: it is cut in its pauses, and silence is skipped. Of several
    recordings, each text is printed behind the name of its file, or written into the folder -o.
    One that cannot be read is reported and left out; the exit status then is 1.
    """
    outputs = result.outputs(audio, as_json=console.as_json)

    def load() -> MimoAudio:
        room = positions_for(result.at_once)
        return options.load(
            console, "transcribe", conversations=max(8, result.at_once), cache_positions=room
        )

    task = Transcribe(audio="", instruction=instruction, language=language, overrides=overrides)
    if len(audio) == 1:
        check_recordings(audio)
        with load() as model:
            _Transcriber(console, model, task, result).transcribe(audio[0], outputs[audio[0]])
        return
    faults = unreadable(audio)
    for fault in faults.values():
        console.complain(fault)
    if len(faults) < len(set(audio)):
        with load() as model:
            transcriber = _Transcriber(console, model, task, result)
            faults = transcriber.transcribe_all(audio, outputs, faults)
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
    task: Transcribe
    """Of any recording."""
    result: TranscriptOptions

    def transcribe_all(
        self,
        audio: Sequence[str],
        outputs: dict[str, TranscriptOutput],
        faults: dict[str, str],
    ) -> dict[str, str]:
        """Every recording that has no fault yet; returns the faults with those that came up."""
        faults = dict(faults)
        for path in audio:
            if path not in faults:
                try:
                    self.transcribe(path, outputs[path], f"{label_of(path)}: ")
                    continue
                except MimoEdgeError as error:
                    name, sentence = label_of(path), with_option(error)
                    faults[path] = sentence if name in sentence else f"{name}: {sentence}"
                    self.console.complain(faults[path])
            self.console.record(task="transcribe", input=path, error=faults[path])
        return faults

    def transcribe(self, path: str, output: TranscriptOutput, label: str = "") -> None:
        """One recording; its text is printed behind the label, or written to the output's file."""
        console, model, task = self.console, self.model, replace(self.task, audio=path)
        with contextlib.ExitStack() as opened:
            with console.busy(f"looking for pauses in {label_of(path)}"):
                recording = opened.enter_context(model.recording(path))
            unfinished = opened.enter_context(
                output.unfinished(model.manifest, task, recording, restart=self.result.restart)
            )
            try:
                transcript = self._write_down(task, recording, output, unfinished, label)
            except (MimoEdgeError, KeyboardInterrupt):
                if unfinished is not None and unfinished.holds_parts:
                    console.complain(kept_in(unfinished))
                raise
        if output.path is not None:
            output.write(transcript, unfinished)
            console.note(f"{label_of(str(output.path))}: {_measures(transcript)}")
        elif output.form == "txt":
            console.text(label + transcript.text)
        else:
            console.text(output.text(transcript).removesuffix("\n"))
        answer = _as_answer(transcript, model.sample_rate)
        console.record(
            task="transcribe",
            input=path,
            output=output.path,
            **answer_record(answer),
            language=transcript.language,
            segments=[
                {"start": part.begin_s, "end": part.end_s, "text": part.text}
                for part in transcript.segments
            ],
        )
        if said := _describe(transcript, answer, task, verbose=console.verbose):
            console.note(label + said)

    def _write_down(
        self,
        task: Transcribe,
        recording: SurveyedSound,
        output: TranscriptOutput,
        unfinished: Unfinished | None,
        label: str,
    ) -> Transcript:
        """All of it, with its text while it is made, or how far it is."""
        printed = output.path is None and output.form == "txt"
        live = _labelled(self.console.live_text() if printed else None, label)
        items = write_down(
            self.model,
            task,
            recording,
            at_once=self.result.at_once,
            known=unfinished.known if unfinished is not None else {},
            finished=unfinished.add if unfinished is not None else None,
        )
        parts: list[Segment] = []
        bar = progress_bar(self.console, label_of(str(task.audio)), recording.seconds)
        # Text that is shown while it is made says itself how far it is.
        with contextlib.closing(items), bar if live is None else _no_bar() as advance:
            for item in items:
                if not isinstance(item, str):
                    parts.append(item)
                    advance(item.end_s)
                elif live is not None:
                    live(item)
            advance(recording.seconds)
        return Transcript(duration_s=recording.seconds, parts=parts)


def _no_bar() -> contextlib.AbstractContextManager[Callable[[float], None]]:
    return contextlib.nullcontext(lambda done: None)


def _as_answer(transcript: Transcript, rate: int) -> Answer:
    """What lines of JSON and notes say of a transcript is what they say of any answer."""
    return Answer(
        text=transcript.text,
        thinking="",
        audio=None,
        sample_rate=rate,
        codes=np.zeros((0, 0), np.int64),
        reason=transcript.reason,
        stats=transcript.stats,
    )


def _describe(transcript: Transcript, answer: Answer, task: Transcribe, *, verbose: bool) -> str:
    """What there is to say about how it was made, maybe nothing; above all where it is cut off."""
    longest = task.overrides.max_new_tokens if task.overrides is not None else None
    # Of a part nobody can say more than so much; a larger --max-new-tokens would not help it.
    endless = [
        part for part in transcript.parts if part.reason == "length" and len(part.tokens) != longest
    ]
    others = first_cut([part.reason for part in transcript.parts if part not in endless])
    said = [describe(replace(answer, reason=others), verbose=verbose)]
    if endless:
        times = (divmod(int(part.begin_s), 60) for part in endless)
        where = ", ".join(f"{minutes}:{seconds:02}" for minutes, seconds in times)
        said.append(f"cut off at {where}, where the model wrote more than anybody can say")
    return "; ".join(filter(None, said))


def _measures(transcript: Transcript) -> str:
    minutes, seconds = divmod(round(transcript.duration_s), 60)
    words = len(transcript.text.split())
    return f"{minutes} min {seconds} s of sound, {len(transcript.parts)} parts, {words} words"


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
