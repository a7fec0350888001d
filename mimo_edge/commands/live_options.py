"""The options of a live conversation: which devices, whose turn it is, how it is shown."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import click
from click.core import ParameterSource

from ..devices.choice import choose_device, list_devices
from ..devices.portaudio import NoSoundError
from ..dialogue.recording import TRANSCRIPT, check_recording
from ..dialogue.turn_events import TurnSettings
from ..errors import BadInputError, DeviceError
from .console import Console, print_table
from .live import LiveSettings, Partner, converse
from .option_kinds import option_group
from .view import JsonView, PanelView, PlainView, View

__all__ = ["LiveOptions", "check_combination", "live_options", "show_devices"]

_LIVE_NAMES = (
    "input_device",
    "output_device",
    "barge_in",
    "push_to_talk",
    "end_silence",
    "record",
    "plain",
)
"""Options that recorded turns have no use for."""


@dataclass(frozen=True, kw_only=True)
class LiveOptions(LiveSettings):
    """The options of a live conversation; `check` them, then `talk`."""

    plain: bool

    @property
    def recorded(self) -> Path | None:
        """The folder of the recording, once there is one."""
        made = self.record is not None and (self.record / TRANSCRIPT).exists()
        return self.record if made else None

    def check(self, *, speaks: bool) -> None:
        """Find out whether there are devices, and whether a recording can be written.

        Raises:
            MimoEdgeError: there are none, or it cannot.
        """
        if self.record is not None:
            check_recording(self.record)
        without = "--input FILE"
        try:
            choose_device(self.input_device, "input")
            if speaks:
                without = "--input FILE --output DIR, or --text-only"
                choose_device(self.output_device, "output")
        except NoSoundError as error:
            raise DeviceError(
                f"{str(error).rstrip('.')}; recordings work without it ({without})."
            ) from error

    def talk(self, partner: Partner, console: Console) -> None:
        """Talk with the partner until the user ends the conversation."""
        converse(partner, self, self._view(console))

    def _view(self, console: Console) -> View:
        if console.as_json:
            return JsonView()
        if self.plain or not sys.stdout.isatty():
            return PlainView(verbose=console.verbose)
        keys = "Enter: talk, Enter: done · " if self.push_to_talk else ""
        hint = f"{keys}Ctrl-C: end the turn, twice: end"
        return PanelView(hint, verbose=console.verbose)


live_options = option_group(
    "live",
    LiveOptions,
    click.option("--input-device", metavar="NAME", help="Microphone: number, name or part of it."),
    click.option("--output-device", metavar="NAME", help="Speaker: number, name or part of it."),
    click.option(
        "--barge-in",
        type=click.Choice(["off", "headphones", "aec"]),
        default="off",
        show_default=True,
        help="Interrupting the answer by speaking: not at all; always listening, with headphones; "
        "with a loudspeaker, whose sound is cancelled.",
    ),
    click.option("--push-to-talk", is_flag=True, help="Enter begins and ends what you say."),
    click.option(
        "--end-silence",
        type=click.FloatRange(0.25, 10.0),
        default=TurnSettings().end_silence_s,
        show_default=True,
        help="Seconds of silence that end what you say.",
    ),
    click.option(
        "--record",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder for both sides as WAV and a transcript, written while you talk.",
    ),
    click.option("--plain", is_flag=True, help="Lines instead of a panel, as in a pipe."),
)


def check_combination(*more_live_names: str, live: bool) -> None:
    """Refuse options that would be ignored: those of recorded turns (`output`, `suffix`) live,
    and the other way round those of a live conversation, `more_live_names` among them.

    Raises:
        MimoEdgeError: names the option and what to give instead.
    """
    context = click.get_current_context()

    def given(name: str) -> bool:
        return context.get_parameter_source(name) is ParameterSource.COMMANDLINE

    if live:
        for name, option in (("output", "--output"), ("suffix", "--format")):
            if given(name):
                raise BadInputError(
                    f"{option} is for recorded turns (--input); live, give --record DIR."
                )
        return
    for name in (*_LIVE_NAMES, *more_live_names):
        if given(name):
            raise BadInputError(
                f"--{name.replace('_', '-')} is for a live conversation, not for recorded turns "
                "(--input), whose answers --output DIR keeps; leave it out."
            )


def show_devices(console: Console) -> None:
    """Microphones and speakers as a table or as lines of JSON."""
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
            raise DeviceError(
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
