"""Devices that cannot exist on a test machine: missing libraries, other systems' lists."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from mimo_edge.commands.console import Console
from mimo_edge.commands.live_options import show_devices
from mimo_edge.devices import portaudio
from mimo_edge.devices.choice import choose_device
from mimo_edge.devices.microphone import Microphone
from mimo_edge.devices.portaudio import NoSoundError
from mimo_edge.errors import MimoEdgeError


class PortAudioError(Exception):
    pass


def a_device(name: str, api: int = 0, *, ins: int = 1, outs: int = 0) -> dict[str, Any]:
    return {
        "name": name,
        "hostapi": api,
        "max_input_channels": ins,
        "max_output_channels": outs,
        "default_samplerate": 44100.0,
    }


def pretend(
    monkeypatch: pytest.MonkeyPatch,
    devices: list[dict[str, Any]],
    default: tuple[int | None, int | None] = (-1, -1),
    apis: tuple[str, ...] = ("MME", "Windows WASAPI"),
    refusal: str | None = None,
) -> None:
    """A sounddevice that lists these devices and opens none."""

    def check(*_: Any, **__: Any) -> None:
        if refusal:
            raise PortAudioError(refusal, -9996)

    def stream(**_: Any) -> None:
        raise PortAudioError("Error", -9999, (13, -5, "Input/output error"))

    fake = SimpleNamespace(
        query_devices=lambda: devices,
        query_hostapis=lambda: [{"name": name} for name in apis],
        default=SimpleNamespace(device=default),
        PortAudioError=PortAudioError,
        check_input_settings=check,
        InputStream=stream,
    )
    monkeypatch.setattr(portaudio, "library", lambda: fake)


_LISTEN = """
import importlib

def import_module(name):
    class PortAudioError(Exception):
        pass

    raise {error}

from mimo_edge.devices.microphone import Microphone
importlib.import_module = import_module
Microphone()
"""


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        ("ModuleNotFoundError('No module named sounddevice')", "pip install 'mimo-edge[micro"),
        ("OSError('PortAudio library not found')", "apt install libportaudio2"),
        ("PortAudioError('Error initializing PortAudio')", "PortAudio does not start"),
        ("ZeroDivisionError()", "ZeroDivisionError"),  # any other one is a bug
    ],
)
def test_what_is_missing_is_named(error: str, sentence: str) -> None:
    """In a process of its own: the library is loaded once."""
    code = _LISTEN.format(error=error)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("mimo_edge.devices.portaudio.NoSoundError") == ("Zero" not in error)
    assert sentence in last


@pytest.mark.parametrize(
    ("platform", "advice"),
    [("darwin", "Privacy & Security"), ("linux", "sound server"), ("win32", "connect one.")],
)
def test_no_microphone(monkeypatch: pytest.MonkeyPatch, platform: str, advice: str) -> None:
    pretend(monkeypatch, [a_device("Speakers", ins=0, outs=2)], default=(None, 0))
    monkeypatch.setattr("sys.platform", platform)
    with pytest.raises(NoSoundError, match="has no microphone") as caught:
        Microphone()
    assert advice in str(caught.value)


def test_without_a_default_the_first_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, [a_device("Speakers", ins=0, outs=2), a_device("Headset", outs=2)])
    assert choose_device(None, "input").name == "Headset"
    assert choose_device(None, "output").name == "Speakers"


def test_same_name_under_several_host_apis(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Windows lists them: the host API of the default device is the one in use."""
    names = ["Headset", "Webcam"]
    devices = [a_device(name, api) for api in (0, 1) for name in names]
    pretend(monkeypatch, devices, default=(3, -1))
    assert choose_device("headset", "input").index == 2
    assert choose_device("0", "input").host_api == "MME"
    with pytest.raises(MimoEdgeError, match=r"several devices.*0: Headset \(MME\); 1: Webcam"):
        choose_device("e", "input")


def test_exact_name_before_parts_of_names(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, [a_device("USB Audio 2"), a_device("USB Audio")])
    assert choose_device("usb audio", "input").index == 1


def test_device_that_takes_no_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, [a_device("Webcam")], refusal="Device unavailable")
    with pytest.raises(MimoEdgeError, match=r"0: Webcam \(MME\).*\(Device unavailable\); close"):
        Microphone()


def test_device_that_does_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, [a_device("Webcam")])
    with pytest.raises(MimoEdgeError, match=r"\(Error, Input/output error\)"):
        Microphone()


def test_names_are_shown_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Brackets are no markup, `:heart:` is no emoji, and a terminal obeys no name."""
    names = ["mic[front]", "mic[/dev/dsp]", "USB :heart: mic", "[bold]loud[/bold]", "\x1b[2Jgone"]
    pretend(monkeypatch, [a_device(name) for name in names], apis=("ALSA",))
    show_devices(Console(as_json=False, verbose=0))
    lines = capsys.readouterr().out.splitlines()
    for index, name in enumerate(names):
        assert f"{index}: {name} (ALSA)".replace("\x1b", r"\x1b") in lines[index + 1]
    show_devices(Console(as_json=True, verbose=0))
    records = map(json.loads, capsys.readouterr().out.splitlines())
    assert [record["name"] for record in records] == names
