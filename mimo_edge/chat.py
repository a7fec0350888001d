"""`python -m mimo_edge.chat`: a spoken conversation, live or over recorded files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import click

from .atomic import check_output
from .audio import check_audio_name
from .console import Console, print_table
from .errors import MimoEdgeError
from .inputs import check_recordings
from .live.turn_events import BargeInMode, TurnSettings
from .live.view import JsonView, PanelView, PlainView, View
from .model import MimoAudio
from .options import (
    TEXT,
    console_from,
    model_from,
    model_options,
    output_options,
    overrides_from,
    sampling_options,
)
from .program import run_command
from .prompts import Reply
from .recorded_chat import answer_recordings, prepare_folder
from .session import Session
from .signals import deferred
from .tasks import Overrides

__all__ = ["chat"]

_LIVE_LOOKAHEAD = 32
"""Mel frames (0.32 s) that live speech waits for; the table in the README says what it costs."""


@click.command()
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="AUDIO",
    help='A recorded turn instead of the microphone ("-": standard input); several times for '
    "several turns.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="With --input: folder for the answers (answer-1.wav, …) and transcript.jsonl.",
)
@click.option(
    "--format",
    "suffix",
    default="wav",
    show_default=True,
    help="Sound format of the answers that --output writes.",
)
@click.option("--system", type=TEXT, help="Instructions for the whole conversation.")
@click.option("--voice", metavar="AUDIO", help="A recording whose voice the answers use.")
@click.option("--text-only", is_flag=True, help="Answer in text.")
@click.option("--think", is_flag=True, help="Answer in text after thinking aloud.")
@click.option("--transcribe", is_flag=True, help="Write what you say down, too.")
@click.option("--list-devices", is_flag=True, help="Show microphones and speakers, and end.")
@click.option("--input-device", metavar="NAME", help="Microphone: number, name or part of it.")
@click.option("--output-device", metavar="NAME", help="Speaker: number, name or part of it.")
@click.option(
    "--barge-in",
    type=click.Choice(["off", "headphones", "aec"]),
    default="off",
    show_default=True,
    help="Interrupting the answer by speaking: not at all; always listening, with headphones; "
    "with a loudspeaker, whose sound is cancelled.",
)
@click.option("--push-to-talk", is_flag=True, help="Enter begins and ends what you say.")
@click.option(
    "--end-silence",
    type=click.FloatRange(0.25, 10.0),
    default=TurnSettings().end_silence_s,
    show_default=True,
    help="Seconds of silence that end what you say.",
)
@click.option(
    "--lookahead",
    type=click.IntRange(min=0),
    default=_LIVE_LOOKAHEAD,
    show_default=True,
    help="Frames of 10 ms that live speech waits for: fewer sound sooner, more sound better.",
)
@click.option(
    "--record",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for both sides as WAV and a transcript, written while you talk.",
)
@click.option("--plain", is_flag=True, help="Lines instead of a panel, as in a pipe.")
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
    list_devices: bool,
    **values: Any,
) -> None:
    """Talk with the model: through microphone and speaker, or one recorded turn per --input.

    Live, Ctrl-C ends the turn in progress; pressed again, the program.
    """
    console, overrides = console_from(values), overrides_from(values)
    if list_devices:
        _show_devices(console)
        return
    check_audio_name(Path(f"answer.{suffix}"))
    check_recordings([*inputs, values["voice"]])
    if save_session is not None:
        check_output(save_session)
    if inputs and output is not None:
        prepare_folder(output, len(inputs), suffix)
    if output is not None and not inputs:
        raise MimoEdgeError("--output is for recorded turns (--input); live, give --record DIR.")
    reply: Reply | None = "text" if values.pop("text_only") else None
    reply = "thinking" if values.pop("think") else reply
    system, voice = values.pop("system"), values.pop("voice")
    live = {name: values.pop(name) for name in _LIVE_OPTIONS}
    transcribe = values.pop("transcribe")
    if not inputs:
        _check_devices(live, speaks=reply is None)  # before seconds of loading
    with (
        model_from(console, values, "converse") as model,
        _open_session(model, load_session, reply, system, voice, overrides) as session,
    ):
        try:
            if inputs:
                answer_recordings(
                    console,
                    model,
                    session,
                    inputs,
                    reply=reply,
                    output=output,
                    suffix=suffix,
                    transcribe=transcribe,
                )
            else:
                _talk_live(console, model, session, reply, {**live, "transcribe": transcribe})
        finally:
            # Also what an error or a signal ends was a conversation.
            if save_session and session.turns:
                with deferred():
                    session.save(save_session)


_LIVE_OPTIONS = (
    "input_device",
    "output_device",
    "barge_in",
    "push_to_talk",
    "end_silence",
    "lookahead",
    "record",
    "plain",
)


def _check_devices(options: dict[str, Any], *, speaks: bool) -> None:
    from .live.devices import choose_device
    from .live.portaudio import NoSoundError

    without = "--input FILE"
    try:
        choose_device(options["input_device"], "input")
        if speaks:
            without = "--input FILE --output DIR, or --text-only"
            choose_device(options["output_device"], "output")
    except NoSoundError as error:
        raise MimoEdgeError(
            f"{str(error).rstrip('.')}; recordings work without it ({without})."
        ) from error


def _talk_live(
    console: Console,
    model: MimoAudio,
    session: Session,
    reply: Reply | None,
    options: dict[str, Any],
) -> None:
    from .live.loop import LiveSettings, talk  # PortAudio is loaded for this alone

    settings = LiveSettings(
        input_device=options["input_device"],
        output_device=options["output_device"],
        barge_in=cast(BargeInMode, options["barge_in"]),
        push_to_talk=options["push_to_talk"],
        lookahead=options["lookahead"],
        speaks=(reply or session.reply) == "speech",
        transcribe=options["transcribe"],
        record=options["record"],
        turns=TurnSettings(end_silence_s=options["end_silence"]),
    )
    with console.busy("warming up"):
        model.warm_up(settings.lookahead)
    talk(model, session, settings, _view(console, settings.push_to_talk, options))


def _view(console: Console, push_to_talk: bool, options: dict[str, Any]) -> View:
    if console.as_json:
        return JsonView()
    if options["plain"] or not sys.stdout.isatty():
        return PlainView()
    keys = "Enter: talk, Enter: done · " if push_to_talk else ""
    return PanelView(f"{keys}Ctrl-C: end the turn, twice: end")


def _show_devices(console: Console) -> None:
    from .live.devices import list_devices

    devices = list_devices()
    for device in devices:
        console.record(
            index=device.index,
            name=device.name,
            host_api=device.host_api,
            input_channels=device.input_channels,
            output_channels=device.output_channels,
            default_input=device.default_input,
            default_output=device.default_output,
            native_rate=device.native_rate,
        )
    if not console.as_json:
        if not devices:
            raise MimoEdgeError(
                "this system has no sound devices; recordings work without (--input FILE)."
            )
        rows = [
            [
                str(device),
                f"{device.input_channels}{' (default)' if device.default_input else ''}",
                f"{device.output_channels}{' (default)' if device.default_output else ''}",
                str(device.native_rate),
            ]
            for device in devices
        ]
        print_table(["device", "microphone channels", "speaker channels", "Hz"], rows)


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
    return model.load_session(saved, reply=reply, overrides=overrides)


if __name__ == "__main__":
    run_command(chat)
