"""Microphone and speaker on virtual devices: what is said is heard, what is pulled is played."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from mimo_edge.devices.choice import choose_device, list_devices
from mimo_edge.devices.device_stream import BLOCK_S
from mimo_edge.devices.microphone import Microphone
from mimo_edge.devices.speaker import QUICK_S, Speaker
from mimo_edge.errors import MimoEdgeError
from tests.tools.sound_server import RATE, SoundServer

from .sounds import find, hear_said, listen, play_pulled, sweep

pytestmark = pytest.mark.microphone


def test_what_is_said_is_heard(server: SoundServer) -> None:
    with Microphone() as microphone:
        assert microphone.device_rate == RATE
        hear_said(server, microphone)


def test_what_is_said_is_heard_at_another_rate(server: SoundServer, one_rate: int) -> None:
    with Microphone() as microphone:
        assert microphone.device_rate == one_rate
        hear_said(server, microphone)


def test_nothing_said_is_digital_silence(server: SoundServer) -> None:
    with Microphone() as microphone:
        blocks = list(listen(microphone, 0.5))
        assert microphone.digital_silence_s == pytest.approx(BLOCK_S * len(blocks))
        assert not blocks[-1].samples.any()


def test_who_does_not_read_loses_the_oldest(server: SoundServer) -> None:
    with Microphone(buffer_s=0.2) as microphone:
        time.sleep(1.0)
        first = microphone.read()
        assert first is not None
        assert time.monotonic() - first.at < 0.5


def test_what_is_pulled_is_played(server: SoundServer) -> None:
    play_pulled(server)


def test_what_is_pulled_is_played_at_another_rate(server: SoundServer, one_rate: int) -> None:
    play_pulled(server)


def test_speaker_that_runs_dry_holds_more_ahead(server: SoundServer) -> None:
    """As on a machine that is too busy to give it 30 ms of sound in time."""
    busy = True

    def pull(count: int) -> NDArray[np.float32]:
        if busy:
            time.sleep(0.15)
        return np.full(count, 0.1, dtype=np.float32)

    with server.capture() as capture, Speaker(pull, latency_s=QUICK_S) as speaker:
        assert not speaker.hurried
        until = time.monotonic() + 10
        while not speaker.hurried and time.monotonic() < until:
            time.sleep(0.05)
        assert speaker.hurried
        busy, before = False, speaker.latency
        speaker.calm()
        assert not speaker.hurried
        time.sleep(0.5)
        speaker.check()
        assert speaker.latency > before and speaker.underflows < 3
    assert np.abs(capture.samples[-RATE // 4 :]).max() > 0.05


def test_speaker_reports_what_its_source_raises(server: SoundServer) -> None:
    def pull(count: int) -> NDArray[np.float32]:
        raise ZeroDivisionError("in the callback")

    with Speaker(pull) as speaker, pytest.raises(ZeroDivisionError, match="in the callback"):
        for _ in range(100):
            speaker.check()
            time.sleep(0.02)


def test_close_twice_and_read_after_it(server: SoundServer) -> None:
    microphone = Microphone()
    waiting = threading.Timer(0.2, microphone.close)
    waiting.start()
    while microphone.read(timeout=5) is not None:
        pass
    waiting.join()
    begin = time.monotonic()
    microphone.close()
    assert microphone.read(timeout=5) is None
    assert time.monotonic() - begin < 1


def test_list_of_devices(server: SoundServer) -> None:
    devices = {device.name: device for device in list_devices()}
    assert {"virtual_microphone", "virtual_speaker", "default"} <= devices.keys()
    default = devices["default"]
    assert default.default_input and default.default_output
    assert default.host_api == "ALSA" and default.native_rate > 0
    assert choose_device(None, "input") == default


def test_device_by_name_or_number(server: SoundServer) -> None:
    device = choose_device("Virtual_Micro", "input")
    assert device.name == "virtual_microphone"
    assert choose_device(device.index, "input") == choose_device(str(device.index), "input")
    with Microphone("virtual_micro") as microphone:
        assert microphone.device == device
        assert microphone.read() is not None


def test_device_that_is_not_there(server: SoundServer) -> None:
    with pytest.raises(MimoEdgeError, match=r"no microphone 'Yeti'; choose from .*virtual_micro"):
        Microphone("Yeti")
    with pytest.raises(MimoEdgeError, match="'virtual' fits several devices"):
        choose_device("virtual", "input")


def test_microphone_hears_the_speaker_as_in_a_room(server: SoundServer) -> None:
    sound, position = sweep(), 0

    def pull(count: int) -> NDArray[np.float32]:
        nonlocal position
        position += count
        return sound[position - count : position]

    with server.leak(50), Microphone() as microphone, Speaker(pull):
        heard = np.concatenate([block.samples for block in listen(microphone, 2.5)])
    place, alike = find(sound, heard)
    assert alike > 0.9
    assert 0.01 < np.abs(heard[place : place + RATE]).max() < 0.1


def test_alsa_prints_nothing(server: SoundServer) -> None:
    """It reports what fails, and every underrun, on standard error: in the middle of the panel."""
    script = """
import ctypes
from mimo_edge.devices import portaudio
portaudio.library()
handle = ctypes.c_void_p()
alsa = ctypes.CDLL("libasound.so.2")
assert alsa.snd_pcm_open(ctypes.byref(handle), b"nowhere", 0, 0) < 0
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
