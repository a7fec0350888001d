"""The sound server of these tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mimo_edge.devices import portaudio
from mimo_edge.errors import MimoEdgeError
from tests.tools.sound_server import SoundServer, missing_programs


@pytest.fixture(scope="session")
def sound_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoundServer]:
    """Virtual devices; whoever takes one away has to bring it back."""
    if reason := missing_programs():
        pytest.skip(reason)
    try:
        portaudio.library()
    except MimoEdgeError as error:
        pytest.skip(str(error))
    server = SoundServer(_short(tmp_path_factory.mktemp("sound")))
    yield server
    server.close()


def _short(folder: Path) -> Path:
    """Sockets' paths have to fit into 108 bytes."""
    assert len(str(folder)) < 90, folder
    return folder


@pytest.fixture
def server(sound_server: SoundServer, monkeypatch: pytest.MonkeyPatch) -> SoundServer:
    """The sound server, as the one that PortAudio in this process uses."""
    for name, value in sound_server.environment.items():
        monkeypatch.setenv(name, value)
    portaudio.restart()
    return sound_server


@pytest.fixture
def one_rate(monkeypatch: pytest.MonkeyPatch) -> int:
    """Devices take 44.1 kHz only; the virtual ones would take anything."""
    sounddevice = portaudio.library()

    def check(*_: Any, samplerate: int) -> None:
        if samplerate != 44100:
            raise sounddevice.PortAudioError("Invalid sample rate", -9997)

    monkeypatch.setattr(sounddevice, "check_input_settings", check)
    monkeypatch.setattr(sounddevice, "check_output_settings", check)
    return 44100
