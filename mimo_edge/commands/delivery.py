"""What the commands whose result is speech do with it: play it, write it, say what it says."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import click

from ..answer import Answer, OnSound
from ..errors import BadInputError, DeviceError, MimoEdgeError
from ..model import MimoAudio
from ..trained_tasks import is_known
from .console import Console, answer_record, describe
from .options import option_group
from .speech_output import SpeechOutput, speech_output_options

__all__ = ["SpeechOptions", "speech_options"]


@dataclass(frozen=True, kw_only=True)
class SpeechOptions:
    """What is to be done with speech, as the options of `speech_options` say it."""

    output: str | None
    """Name of the file; None: it is played."""
    form: str | None
    """Format by its usual ending without the dot; None: as the file's name says."""
    play: bool
    anyway: bool

    def delivery(self, console: Console, inputs: Iterable[str | None]) -> Delivery:
        """The way of the speech, after finding out that it is open.

        Raises:
            MimoEdgeError: there is no speaker, or the file cannot be written or is an input.
        """
        output = None
        if self.output is not None:
            output = SpeechOutput.choose(
                self.output, self.form, as_json=console.as_json, inputs=inputs
            )
        elif self.form is not None:
            raise BadInputError(
                f"--format {self.form} is for a file, and without -o the speech is played."
            )
        plays = self.play or output is None
        if plays:
            _check_speaker()
        return Delivery(console=console, output=output, plays=plays)


speech_options = option_group(
    "speech",
    SpeechOptions,
    speech_output_options(required=False),
    click.option("--play", is_flag=True, help="Play the speech, too, where --output writes it."),
    click.option(
        "--anyway", is_flag=True, help="Try what this checkpoint was not trained for, too."
    ),
)


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """Where the speech of one command goes."""

    console: Console
    output: SpeechOutput | None
    """Where it is written; None: it is only played."""
    plays: bool

    @contextlib.contextmanager
    def speaker(self, model: MimoAudio) -> Iterator[OnSound | None]:
        """What plays speech while it is generated, and at its end waits until it was heard.

        None if it is not to be played.
        """
        if not self.plays:
            yield None
            return
        from ..devices.play import Loudspeaker  # PortAudio is loaded for this alone

        with Loudspeaker(model.sample_rate) as loudspeaker:
            yield loudspeaker.push

    def give(self, model: MimoAudio, answer: Answer, *, task: str) -> None:
        """Write the speech, and print what goes with it.

        Raises:
            MimoEdgeError: the answer has no speech, or it cannot be written.
        """
        console, output = self.console, self.output
        if answer.audio is None:
            raise _without_speech(model, answer, output)
        if output is not None:
            output.write(answer.audio, answer.sample_rate)
        seconds = f"{len(answer.audio) / answer.sample_rate:.2f} s of speech"
        details = describe(answer, verbose=console.verbose)
        console.note("; ".join(filter(None, (f"{output or 'speaker'}: {seconds}", details))))
        if output is not None and output.path is None:
            console.note(answer.text)  # standard output has the sound
        else:
            console.text(answer.text)
        console.record(task=task, output=output, played=self.plays, **answer_record(answer))


def _check_speaker() -> None:
    from ..devices.play import check_speaker  # PortAudio is loaded for this alone
    from ..devices.portaudio import NoSoundError

    try:
        check_speaker()
    except NoSoundError as error:
        raise DeviceError(
            f"{str(error).rstrip('.')}; -o FILE without --play writes the speech to a file."
        ) from error


def _without_speech(model: MimoAudio, answer: Answer, output: SpeechOutput | None) -> MimoEdgeError:
    remedy = "try another --seed"
    if not is_known(model.manifest):
        remedy += ", or a checkpoint that is known to be trained for this"
    where = "nothing is played" if output is None else f"{output} was not written"
    return MimoEdgeError(
        f"the model answered without speech ({answer.text!r}), so {where}; {remedy}."
    )
