"""Devices and sound servers that vanish, hang and return."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from mimo_edge.devices.microphone import Microphone
from mimo_edge.devices.portaudio import DeviceLost
from mimo_edge.devices.speaker import Speaker
from tests.tools.sound_server import SoundServer

from .sounds import hear_said, listen, play_pulled

pytestmark = pytest.mark.microphone

_LOSS_S = 5.0
"""Within which a lost device has to be noticed."""


def silence(count: int) -> NDArray[np.float32]:
    return np.zeros(count, dtype=np.float32)


def test_lost_microphone_comes_back(server: SoundServer) -> None:
    with Speaker(silence) as speaker, Microphone() as microphone:
        assert microphone.read() is not None
        server.unplug_microphone()
        try:
            begin = time.monotonic()
            with pytest.raises(DeviceLost, match=r"unplugged|not been heard"):
                list(listen(microphone, _LOSS_S))
            assert time.monotonic() - begin < _LOSS_S
            with pytest.raises(DeviceLost):
                microphone.reopen()
            with pytest.raises(DeviceLost):
                microphone.read()
        finally:
            server.plug_in_microphone()
        microphone.reopen()
        hear_said(server, microphone)
        speaker.check()


def test_lost_speaker_comes_back(server: SoundServer) -> None:
    with Microphone() as microphone, Speaker(silence) as speaker:
        server.unplug_speaker()
        try:
            with pytest.raises(DeviceLost):
                for _ in range(100):
                    speaker.check()
                    time.sleep(_LOSS_S / 100)
            with pytest.raises(DeviceLost):
                speaker.reopen()
        finally:
            server.plug_in_speaker()
        speaker.reopen()
        assert len(list(listen(microphone, 1.0))) > 25, "the microphone survives the restart"
        speaker.check()
    play_pulled(server)


def test_crash_of_the_sound_server(server: SoundServer) -> None:
    with Microphone() as microphone, Speaker(silence) as speaker:
        assert microphone.read() is not None
        server.kill()
        try:
            with pytest.raises(DeviceLost):
                list(listen(microphone, _LOSS_S))
            with pytest.raises(DeviceLost):
                for _ in range(100):
                    speaker.check()
                    time.sleep(_LOSS_S / 100)
            with pytest.raises(DeviceLost):
                microphone.reopen()
        finally:
            server.start()
        microphone.reopen()
        speaker.reopen()
        hear_said(server, microphone)


def test_sound_server_that_hangs(server: SoundServer) -> None:
    with Microphone(patience_s=1.0) as microphone:
        assert microphone.read() is not None
        with server.frozen():
            with pytest.raises(DeviceLost, match="not been heard of"):
                list(listen(microphone, _LOSS_S))
            with pytest.raises(DeviceLost, match="does not answer"):
                microphone.reopen()
        time.sleep(0.5)
        microphone.reopen()
        hear_said(server, microphone)
