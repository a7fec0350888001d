"""PortAudio, the library behind `sounddevice`: loaded when it is needed, restarted, closed.

PortAudio lists the devices once, when it is initialized, and ending it invalidates every open
stream. A program that waits for a device to come back therefore has to restart it, and all
streams of the process have to take part: they are registered here.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import importlib
import logging
import os
import sys
import threading
import weakref
from collections.abc import Iterator
from typing import Any, Protocol

from ..errors import DeviceError

__all__ = [
    "DeviceLost",
    "NoSoundError",
    "Restartable",
    "check_answers",
    "close_stream",
    "library",
    "lock",
    "quiet",
    "register",
    "restart",
]

_CLOSING_S = 2.0
"""A sound system that answers closes a stream in milliseconds."""

_log = logging.getLogger(__name__)
lock = threading.RLock()
"""Held by whoever lists, opens or restarts: PortAudio is for one thread at a time."""
_loaded: Any = None
_closing: list[threading.Thread] = []
"""What waits for a sound system that does not answer; so would everything else."""


class NoSoundError(DeviceError):
    """This system has no microphone or no speaker to offer; programs can do without."""


class DeviceLost(DeviceError):
    """A microphone or speaker that worked is gone; `reopen()` may succeed later."""


class Restartable(Protocol):
    """A stream that takes part in a restart of PortAudio."""

    def suspend(self) -> None:
        """Close what PortAudio gave: restarting it makes every open stream invalid."""

    def resume(self) -> None:
        """Open the device again; a failure is reported later, as a device that is gone."""


_streams: weakref.WeakSet[Any] = weakref.WeakSet()


def library() -> Any:
    """Return the module `sounddevice`; the first call imports it and starts PortAudio.

    Raises:
        MimoEdgeError: the package or the PortAudio library is missing, or does not start.
    """
    global _loaded
    with lock:
        if _loaded is None:
            _loaded = _load()
            # After sounddevice's own handler, so before it: with a stream left open, that one
            # waits for the sound system without end.
            atexit.register(_close_all)
        return _loaded


def _load() -> Any:
    _silence_alsa()
    try:
        return importlib.import_module("sounddevice")
    except ImportError as error:
        raise NoSoundError(
            "microphone and speaker need the Python package sounddevice: "
            "pip install 'mimo-edge[microphone]'."
        ) from error
    except OSError as error:
        raise NoSoundError(
            f"sounddevice finds no PortAudio library ({error}): `apt install libportaudio2` on "
            "Debian and Ubuntu, `dnf install portaudio` on Fedora."
        ) from error
    except Exception as error:
        if type(error).__name__ != "PortAudioError":
            raise
        raise NoSoundError(
            f"PortAudio does not start ({error}); start the sound service of this system."
        ) from error


def _silence_alsa() -> None:
    """Keep ALSA's reports of every underrun off the terminal, where they would tear the panel.

    PortAudio tells of them, too. ALSA calls this function instead of printing: any function of C
    will do that takes no heed of its arguments; one of Python could be called too late, at the end.
    """
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):  # no ALSA, no reports
            nothing = ctypes.cast(ctypes.CDLL(None).getpid, ctypes.c_void_p)
            ctypes.CDLL("libasound.so.2").snd_lib_error_set_handler(nothing)


def register(stream: Restartable) -> None:
    """From now on `stream` is suspended and resumed around a restart, until it is collected."""
    with lock:
        _streams.add(stream)


def restart() -> None:
    """Make PortAudio look for devices anew; other streams of the process pause for a moment.

    Raises:
        MimoEdgeError: PortAudio cannot be started again; DeviceLost if that may change.
    """
    sounddevice = library()
    with lock:
        streams = list(_streams)
        for stream in streams:
            stream.suspend()
        try:
            check_answers()
            sounddevice._terminate()
            sounddevice._initialize()
        except sounddevice.PortAudioError as error:
            raise DeviceError(
                f"PortAudio does not start again ({error}); end the program and start it anew."
            ) from error
        for stream in streams:
            stream.resume()


def check_answers() -> None:
    """Raise DeviceLost while closing a stream hangs."""
    _closing[:] = [thread for thread in _closing if thread.is_alive()]
    if _closing:
        raise DeviceLost("the sound system does not answer; start its service again.")


def close_stream(stream: Any) -> None:
    """Abort and close a sounddevice stream, within two seconds, whatever the sound system does."""

    def close() -> None:
        stream.abort()
        stream.close()

    thread = threading.Thread(target=close, name="mimo_edge closing", daemon=True)
    thread.start()
    thread.join(_CLOSING_S)
    if thread.is_alive():
        _log.warning("the sound system does not answer; a stream stays open until the end")
        _closing.append(thread)
        # At exit sounddevice would wait for that stream, too.
        atexit.unregister(library()._exit_handler)


def _close_all() -> None:
    for stream in list(_streams):
        stream.suspend()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what ALSA and PortAudio write to standard error from the terminal.

    They report every attempt there, in several lines of C source; the exception says enough.
    """
    try:
        before = os.dup(2)
    except OSError:  # no standard error at all, as in a program without a console
        yield
        return
    try:
        with open(os.devnull, "wb") as nothing:  # noqa: PTH123
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
