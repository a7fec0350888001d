"""The live side of `mimo-edge chat`: its options, its devices, how it is shown."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from ..devices.choice import choose_device, list_devices
from ..devices.portaudio import NoSoundError
from ..dialogue.recording import TRANSCRIPT, check_recording
from ..errors import DeviceError
from ..model import MimoAudio
from ..session import Session
from .console import Console, print_table
from .talk import LiveSettings, talk
from .view import JsonView, PanelView, PlainView, View

__all__ = ["LIVE_NAMES", "LiveOptions", "show_devices"]

LIVE_NAMES = (
    "input_device",
    "output_device",
    "barge_in",
    "push_to_talk",
    "end_silence",
    "lookahead",
    "record",
    "plain",
)
"""Options of `chat` that recorded turns have no use for."""


@dataclass(frozen=True, kw_only=True)
class LiveOptions(LiveSettings):
    """The options of a live conversation; `check` them, then `talk`."""

    console: Console
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

    def talk(self, model: MimoAudio, session: Session, *, speaks: bool) -> None:
        """Talk with the model until the user ends the conversation."""
        with self.console.busy("warming up"):
            model.warm_up(self.lookahead)
        talk(model, session, self, self._view(), speaks=speaks)

    def _view(self) -> View:
        if self.console.as_json:
            return JsonView()
        if self.plain or not sys.stdout.isatty():
            return PlainView(verbose=self.console.verbose)
        keys = "Enter: talk, Enter: done · " if self.push_to_talk else ""
        hint = f"{keys}Ctrl-C: end the turn, twice: end"
        return PanelView(hint, verbose=self.console.verbose)


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
