"""Microphone and speaker of one conversation, with what hears along: recording, echo canceller."""

from __future__ import annotations

import contextlib
import time

import numpy as np
from numpy.typing import NDArray

from ..devices.device_stream import DeviceStream
from ..devices.microphone import Microphone
from ..devices.portaudio import DeviceLost
from ..devices.speaker import CALM_S, QUICK_S, Speaker
from ..dialogue.echo import EchoCanceller
from ..dialogue.playback import Playback, PlaybackSettings
from ..dialogue.recording import Recording

__all__ = ["LiveDevices"]

_MUTED_S = 5.0


class LiveDevices:
    """What one conversation hears and speaks with; the devices are open while it is entered."""

    def __init__(
        self,
        rate: int,
        *,
        input_device: str | None,
        output_device: str | None,
        speaks: bool,
        quick: bool,
        playback: PlaybackSettings,
        echo: EchoCanceller | None,
        recording: Recording | None,
    ) -> None:
        """Sound of `rate` Hz on both sides; devices by name or number, None: the default ones.

        Without `speaks` no speaker is opened. `quick`: the speaker holds little sound ahead, so
        that it falls silent soon. `playback` says when answers begin to sound. `echo` and
        `recording` get both sides.
        """
        self.playback = Playback(rate, playback, latency=self._latency)
        """Where the answers go."""
        self._rate, self._speaks = rate, speaks
        self._input_device, self._output_device = input_device, output_device
        self._latency_s = QUICK_S if quick else CALM_S
        self._echo, self._recording = echo, recording
        self._opened = contextlib.ExitStack()
        self._microphone: Microphone
        self._speaker: Speaker | None = None
        self._heard = False
        """Whether the microphone ever gave anything but zeros."""

    def __enter__(self) -> LiveDevices:
        """Open the devices.

        Raises:
            MimoEdgeError: one is missing, or does not open.
        """
        with contextlib.ExitStack() as opened:
            self._microphone = opened.enter_context(Microphone(self._input_device, self._rate))
            if self._speaks:
                speaker = Speaker(
                    self._pull, self._output_device, self._rate, latency_s=self._latency_s
                )
                self._speaker = opened.enter_context(speaker)
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Close the devices, the speaker first."""
        self._opened.close()

    @property
    def names(self) -> tuple[str, str | None]:
        """The microphone, and the speaker if there is one, as messages name them."""
        speaker = self._speaker
        return str(self._microphone.device), None if speaker is None else str(speaker.device)

    def hear(self, timeout: float) -> tuple[NDArray[np.float32], float] | None:
        """The next samples, float32 [n], without the model's voice, and when the last was spoken.

        None: nothing came within `timeout` seconds. The time is of `time.monotonic()`.

        Raises:
            DeviceLost: microphone or speaker is gone; `revive` may bring it back.
        """
        block = self._microphone.read(timeout)
        if self._speaker is not None:
            self._speaker.check()
        if block is None:
            return None
        self._heard = self._heard or not self._microphone.digital_silence_s
        if self._recording is not None:
            self._recording.write("user", block.samples, block.at)
        samples = block.samples if self._echo is None else self._echo.captured(block.samples)
        return samples, block.end

    @property
    def muted(self) -> str | None:
        """One sentence if the microphone never gave anything but zeros for some time."""
        if self._heard or self._microphone.digital_silence_s <= _MUTED_S:
            return None
        return (
            f"the microphone {self._microphone.device.name!r} gives nothing but zeros: it is "
            "muted, or the system does not let this program hear it."
        )

    @property
    def hurried(self) -> str | None:
        """One sentence if the speaker ran dry so often that it should be `calm`ed."""
        if self._speaker is None or not self._speaker.hurried:
            return None
        return (
            f"the speaker ran dry {self._speaker.underflows} times, this machine is busy: from "
            f"now on it holds {CALM_S:g} s of sound ahead, and falls silent so much later when "
            "you speak over an answer."
        )

    def calm(self) -> None:
        """Let the speaker hold more sound ahead; what it holds now is lost.

        Raises:
            DeviceLost: meanwhile it is gone.
        """
        if self._speaker is not None:
            self._speaker.calm()

    def revive(self) -> None:
        """Open again what is gone.

        Raises:
            DeviceLost: it is still gone.
        """
        devices: list[DeviceStream] = [self._microphone]
        if self._speaker is not None:
            devices.append(self._speaker)
        for device in devices:
            try:
                device.check()
            except DeviceLost:
                device.reopen()

    def _latency(self) -> float:
        return self._speaker.latency if self._speaker is not None else 0.0

    def _pull(self, count: int) -> NDArray[np.float32]:
        """What is to be played next, float32 [count]; the speaker's thread calls it."""
        samples = self.playback.pull(count)
        if self._echo is not None:
            self._echo.played(samples)
        if self._recording is not None and samples.any():
            self._recording.write("assistant", samples, time.monotonic() + self._latency())
        return samples
