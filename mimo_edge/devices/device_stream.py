"""What a microphone and a speaker have in common: opened, lost, found again, closed."""

from __future__ import annotations

import abc
import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Any, ClassVar, TypeVar

from ..errors import DeviceError, MimoEdgeError
from . import portaudio
from .choice import DeviceInfo, Direction, choose_device, list_devices
from .portaudio import DeviceLost

__all__ = ["BLOCK_S", "DeviceStream"]

BLOCK_S = 0.01
"""Of all sound: what somebody says over an answer, and the silence that follows from it, wait for
a block each."""
_COMMON_RATES = (48000, 44100)
_STARTING_S = 5.0
"""Patience with a device that was just opened: Bluetooth headsets take seconds."""

_log = logging.getLogger(__name__)
_Stream = TypeVar("_Stream", bound="DeviceStream")


class DeviceStream(abc.ABC):
    """A mono stream of float32 from or to one device.

    `wanted` is an index, a name or a part of one, or None for the default device; `patience_s`
    the seconds without a sign of life after which the device counts as gone.
    """

    direction: ClassVar[Direction]

    def __init__(
        self, wanted: str | int | None, rate: int, *, latency_s: float, patience_s: float
    ) -> None:
        """Open the device and start it, with about `latency_s` seconds of sound in its buffer.

        Raises:
            MimoEdgeError: there is no such device, or it does not open.
        """
        self.rate = rate
        """Hz, of the samples on this side."""
        self.device_rate = rate
        """Hz, of the samples on the device's side."""
        self._latency_s = latency_s
        self._patience_s = patience_s
        self._wanted = wanted
        self._closed = False
        self._stream: Any = None
        self._lost: str | None = None
        self._sign_of_life = 0.0
        with portaudio.lock:
            self.device = choose_device(wanted, self.direction)
            self._open()
            portaudio.register(self)

    def check(self) -> None:
        """Raise DeviceLost if the device is gone; costs next to nothing."""
        if self._lost is None and not self._closed:
            silence = time.monotonic() - self._sign_of_life
            if silence > self._patience_s:
                self._lost = f"has not been heard of for {silence:.1f} s"
        if self._lost is not None:
            raise DeviceLost(
                f"the device {self.device.name!r} {self._lost}; connect it again, or choose "
                "another one.",
                about="device",
            )

    def reopen(self) -> None:
        """Open the device again after DeviceLost; to be tried every second or so.

        First as PortAudio knows it, then with PortAudio restarted, for which other streams of
        the process pause for a moment.

        Raises:
            DeviceLost: it is still gone.
        """
        self._lost = self._lost or "is being opened again"
        with portaudio.lock:
            self.suspend()
            try:
                self._find()
            except DeviceLost:
                try:
                    portaudio.restart()
                except MimoEdgeError as error:
                    raise DeviceLost(str(error)) from error
                self._find()

    def _find(self) -> None:
        try:
            self.device = self._same_device()
            self._open()
        except MimoEdgeError as error:
            self._lost = "is still gone"
            raise DeviceLost(str(error)) from error

    def _same_device(self) -> DeviceInfo:
        """The device that was meant: numbers change when devices come and go, names do not."""
        if self._wanted is None:
            return choose_device(None, self.direction)
        for device in list_devices():
            known = (device.name, device.host_api) == (self.device.name, self.device.host_api)
            if known and device.channels(self.direction):
                return device
        raise DeviceLost(f"the device {self.device.name!r} is still gone; connect it again.")

    def suspend(self) -> None:
        """Close what PortAudio gave, but stay the same stream, before PortAudio is restarted."""
        stream, self._stream = self._stream, None
        if stream is not None:
            portaudio.close_stream(stream)

    def resume(self) -> None:
        """Open the device again after PortAudio was restarted, unless it was lost before."""
        if self._closed or self._lost is not None:
            return
        # `check` tells whoever uses this stream; the restart was for another one.
        with contextlib.suppress(DeviceLost):
            self._find()
        if self._closed:  # meanwhile, in another thread
            self.suspend()

    def close(self) -> None:
        """Close the device at once; sound that is still to be played is lost."""
        self._closed = True
        self.suspend()

    def __enter__(self: _Stream) -> _Stream:
        """Return the open stream, which the end of the block closes."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the device."""
        self.close()

    @abc.abstractmethod
    def _make(self, sounddevice: Any, arguments: dict[str, Any]) -> Any:
        """Return a sounddevice stream with the subclass's callback, open but not started."""

    def _open(self) -> None:
        sounddevice = portaudio.library()
        portaudio.check_answers()
        with _sentences(sounddevice, self.device), portaudio.quiet():
            rate, channels = self._settings(sounddevice)
            self.device_rate = rate
            stream: Any = self._make(
                sounddevice,
                {
                    "device": self.device.index,
                    "samplerate": rate,
                    "channels": channels,
                    "dtype": "float32",
                    "blocksize": round(BLOCK_S * rate),
                    "latency": self._latency_s,
                    # Closing finishes a stream, too: only the stream in use tells of a loss.
                    "finished_callback": lambda: self._finished(stream),
                },
            )
            self._stream, self._lost = stream, None
            self._sign_of_life = time.monotonic() + _STARTING_S
            try:
                stream.start()
            except sounddevice.PortAudioError:
                self._lost = "does not start"
                self.suspend()
                raise
        _log.debug("%s: %d Hz, %d channels", self.device, rate, channels)

    def _settings(self, sounddevice: Any) -> tuple[int, int]:
        """Return (Hz, channels) that the device takes: as wanted if possible, else its own."""
        check = getattr(sounddevice, f"check_{self.direction}_settings")
        most = self.device.channels(self.direction)
        refusal = None
        for rate in dict.fromkeys([self.rate, self.device.native_rate, *_COMMON_RATES]):
            for channels in dict.fromkeys([1, min(2, most), most]):
                try:
                    check(self.device.index, channels, "float32", samplerate=rate)
                except sounddevice.PortAudioError as error:
                    refusal = error
                else:
                    return rate, channels
        assert refusal is not None
        raise refusal

    def _finished(self, stream: Any) -> None:
        if stream is self._stream and self._lost is None:
            self._lost = "stopped: it was unplugged or the sound system ended"


@contextlib.contextmanager
def _sentences(sounddevice: Any, device: DeviceInfo) -> Iterator[None]:
    try:
        yield
    except sounddevice.PortAudioError as error:
        # (sentence, code, (host API, its code, its sentence)), where known
        host = error.args[2][2] if len(error.args) > 2 else ""
        reason = f"{error.args[0]}, {host}" if host else error.args[0]
        raise DeviceError(
            f"the device {device} does not open ({reason}); close programs that use it, allow "
            "access to it, or choose another one.",
            about="device",
        ) from error
