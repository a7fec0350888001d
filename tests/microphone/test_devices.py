"""Microphone and speaker on virtual devices: what is said is heard, what is pulled is played."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mimo_edge.devices import portaudio
from mimo_edge.devices.choice import choose_device, list_devices
from mimo_edge.devices.device_stream import BLOCK_S
from mimo_edge.devices.microphone import Block, Microphone
from mimo_edge.devices.portaudio import DeviceLost
from mimo_edge.devices.speaker import QUICK_S, Speaker
from mimo_edge.errors import MimoEdgeError
from tests.tools.sound_server import RATE, SoundServer

pytestmark = pytest.mark.microphone

BLOCK = round(BLOCK_S * RATE)
_LOSS_S = 5.0
"""Within which a lost device has to be noticed."""


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


def sweep(seconds: float = 1.0) -> NDArray[np.float32]:
    """Unlike itself at every shift: 200 Hz to 4 kHz."""
    time_s = np.arange(int(seconds * RATE)) / RATE
    phase = 2 * np.pi * (200 * time_s + (4000 - 200) / (2 * seconds) * time_s**2)
    return (0.3 * np.sin(phase)).astype(np.float32)


def find(sound: NDArray[np.float32], heard: NDArray[np.float32]) -> tuple[int, float]:
    """(place of `sound` in `heard` in samples, how alike they are there: 1 is the same)."""
    size = len(sound) + len(heard)
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(sound, size))
    products = np.fft.irfft(spectrum, size)[: len(heard) - len(sound) + 1]
    place = int(products.argmax())
    there = heard[place : place + len(sound)]
    alike = products[place] / max(1e-9, np.linalg.norm(there) * np.linalg.norm(sound))
    return place, float(alike)


def listen(microphone: Microphone, seconds: float) -> Iterator[Block]:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        block = microphone.read(timeout=1.0)
        if block is not None:
            yield block


def decibels(amplitude: float) -> float:
    return float(20 * np.log10(amplitude))


def hear_said(server: SoundServer, microphone: Microphone) -> None:
    """Say something, and expect the microphone to hear it, at the right time."""
    speaking = threading.Timer(0.3, server.say, [sweep()])
    speaking.start()
    blocks = list(listen(microphone, 2.5))
    speaking.join()
    assert {len(block.samples) for block in blocks} == {BLOCK}
    place, alike = find(sweep(), np.concatenate([block.samples for block in blocks]))
    assert alike > 0.98
    loud = blocks[(place + RATE // 2) // BLOCK]
    assert decibels(np.abs(loud.samples).max()) == pytest.approx(-10.5, abs=1)
    assert decibels(np.sqrt(np.mean(loud.samples**2))) == pytest.approx(-13.5, abs=1)
    # No gaps: the times of the blocks are those of the samples.
    begins = [block.at - number * BLOCK_S for number, block in enumerate(blocks)]
    assert max(begins) - min(begins) < 0.15
    assert abs(blocks[-1].end - time.monotonic()) < 0.5


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


def play_pulled(server: SoundServer) -> None:
    """Play something, and expect to capture it, when `latency` says that it is heard."""
    sound, position, pulled_at = sweep(), 0, 0.0

    def pull(count: int) -> NDArray[np.float32]:
        nonlocal position, pulled_at
        pulled_at = pulled_at or time.monotonic()
        part = sound[position : position + count]
        position += count
        return part

    with server.capture() as capture, Speaker(pull) as speaker:
        until = time.monotonic() + 5
        while position < len(sound) + RATE and time.monotonic() < until:
            speaker.check()
            time.sleep(0.05)
        latency = speaker.latency
    place, alike = find(sound, capture.samples)
    assert alike > 0.98
    heard_at = capture.started + place / RATE
    assert heard_at - pulled_at == pytest.approx(latency, abs=0.2)
    assert 0 < latency < 0.5


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
