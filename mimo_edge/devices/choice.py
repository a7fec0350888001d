"""Which microphones and speakers there are, and which one is meant."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import DeviceError
from . import portaudio
from .portaudio import NoSoundError

__all__ = ["DeviceInfo", "Direction", "choose_device", "list_devices"]

Direction = Literal["input", "output"]

_NAMES = {"input": "microphone", "output": "speaker"}


@dataclass(frozen=True, kw_only=True)
class DeviceInfo:
    """A device as PortAudio lists it; one piece of hardware may appear under several host APIs."""

    index: int
    """Valid until PortAudio is restarted."""
    name: str
    host_api: str
    input_channels: int
    """0: no microphone."""
    output_channels: int
    """0: no speaker."""
    default_input: bool
    default_output: bool
    native_rate: int
    """Hz."""

    def channels(self, direction: Direction) -> int:
        """The largest number of channels that the device has in this direction; 0: none."""
        return self.input_channels if direction == "input" else self.output_channels

    def is_default(self, direction: Direction) -> bool:
        """Whether the system takes this device when none is named."""
        return self.default_input if direction == "input" else self.default_output

    def __str__(self) -> str:
        """`index: name (host API)`, as in messages."""
        return f"{self.index}: {self.name} ({self.host_api})"


def list_devices() -> list[DeviceInfo]:
    """All devices, as they were when PortAudio was started; `portaudio.restart()` looks again.

    Raises:
        MimoEdgeError: sounddevice or PortAudio is missing.
    """
    sounddevice = portaudio.library()
    apis = sounddevice.query_hostapis()
    default_input, default_output = (_index(value) for value in sounddevice.default.device)
    return [
        DeviceInfo(
            index=index,
            name=device["name"],
            host_api=apis[device["hostapi"]]["name"],
            input_channels=device["max_input_channels"],
            output_channels=device["max_output_channels"],
            default_input=index == default_input,
            default_output=index == default_output,
            native_rate=round(device["default_samplerate"]),
        )
        for index, device in enumerate(sounddevice.query_devices())
    ]


def choose_device(wanted: str | int | None, direction: Direction) -> DeviceInfo:
    """The device with this index, or with this name or a part of it; None: the default one.

    Case does not matter. Of the same name under several host APIs, the default's API wins.

    Raises:
        MimoEdgeError: there is none, or there are several; the choices are named.
    """
    usable = [device for device in list_devices() if device.channels(direction)]
    if not usable:
        raise NoSoundError(_none_at_all(direction))
    default = next((device for device in usable if device.is_default(direction)), usable[0])
    if wanted is None:
        return default
    found = _matches(str(wanted).strip(), usable)
    if len(found) > 1 and len({device.name for device in found}) == 1:
        found = [device for device in found if device.host_api == default.host_api] or found
    if len(found) == 1:
        return found[0]
    choices = "; ".join(str(device) for device in (found or usable))
    what = f"{_NAMES[direction]} {wanted!r}"
    if found:
        raise DeviceError(f"{what} fits several devices, give the number of one: {choices}.")
    raise DeviceError(f"there is no {what}; choose from {choices}.")


def _matches(wanted: str, devices: list[DeviceInfo]) -> list[DeviceInfo]:
    if wanted.isdecimal():
        return [device for device in devices if device.index == int(wanted)]
    name = wanted.casefold()
    same = [device for device in devices if device.name.casefold() == name]
    return same or [device for device in devices if name in device.name.casefold()]


def _none_at_all(direction: Direction) -> str:
    sentence = f"this system has no {_NAMES[direction]}: connect one"
    if direction == "input" and sys.platform == "darwin":
        sentence += " and allow it in System Settings, Privacy & Security, Microphone"
    elif sys.platform.startswith("linux"):
        sentence += ", or start the sound server (PipeWire or PulseAudio)"
    return f"{sentence}."


def _index(value: Any) -> int:
    """An entry of `sounddevice.default.device`, which may also be None."""
    return -1 if value is None else int(value)
