"""A sound server with virtual devices: a private PulseAudio, nobody hears it.

    say() ─→ sink "mouth" ─→ source "microphone" ─→ program under test
    capture() ←─ monitor of sink "speaker" ←─ program under test

Programs find it through `SoundServer.environment`: PortAudio knows ALSA only, so ALSA's
configuration makes the two virtual devices its default and the only ones.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

__all__ = ["RATE", "Capture", "SoundServer", "missing_programs"]

RATE = 24000
"""Hz, of what is said and captured."""

_ALSA = """
pcm.{microphone} {{ type pulse device microphone hint.description "Virtual microphone" }}
pcm.{speaker} {{ type pulse device speaker hint.description "Virtual speaker" }}
pcm.!default {{
  type asym
  capture.pcm {microphone}
  playback.pcm {speaker}
}}
ctl.!default {{ type pulse }}
"""
_MODULES = (
    "module-native-protocol-unix socket={folder}/native auth-anonymous=1",
    "module-cli-protocol-unix socket={folder}/commands",
    # Without norewinds, a null sink works in steps of two seconds.
    "module-null-sink sink_name=speaker rate=48000 channels=2 norewinds=1",
    "module-null-sink sink_name=mouth rate=48000 channels=2 norewinds=1",
    "module-remap-source source_name=microphone master=mouth.monitor",
)
_STARTING_S = 20.0


def missing_programs() -> str | None:
    """Why there can be no sound server here, or None."""
    missing = [name for name in ("pulseaudio", "pactl", "pacat", "parec") if not shutil.which(name)]
    if missing:
        return f"{', '.join(missing)} not installed: apt install pulseaudio pulseaudio-utils"
    if not any(Path("/usr").glob("lib*/**/alsa-lib/libasound_module_pcm_pulse.so")):
        return "ALSA has no PulseAudio plugin: apt install libasound2-plugins"
    return None


@dataclass
class Capture:
    """What was played, as it comes in."""

    started: float = 0.0
    """When the first sample was played, in seconds of `time.monotonic()`; some 20 ms unsure."""
    chunks: list[NDArray[np.float32]] = field(default_factory=list)

    @property
    def samples(self) -> NDArray[np.float32]:
        """float32 [n] at RATE Hz, up to now."""
        return np.concatenate([np.zeros(0, dtype=np.float32), *self.chunks])


class SoundServer:
    """One PulseAudio with a microphone and a speaker; `close` ends it and what belongs to it."""

    def __init__(self, folder: Path) -> None:
        """Start it; sockets and configuration are in `folder`."""
        self.folder = folder
        (folder / "alsa.conf").write_text(
            _ALSA.format(microphone="virtual_microphone", speaker="virtual_speaker"), "utf-8"
        )
        self.environment = {
            "PULSE_SERVER": f"unix:{folder}/native",
            "PULSE_COOKIE": f"{folder}/cookie",
            "ALSA_CONFIG_PATH": f"{folder}/alsa.conf",
            "XDG_RUNTIME_DIR": str(folder),
        }
        """Variables for a program that is to use this server."""
        self._processes: list[subprocess.Popen[bytes]] = []
        self.start()

    def start(self) -> None:
        """Start the server; again, after `kill`."""
        modules = [f"--load={module.format(folder=self.folder)}" for module in _MODULES]
        self._server = self._run(
            "pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no",
            "--disable-shm=yes", "--realtime=no", "--high-priority=no",
            f"--log-target=file:{self.folder}/log", *modules,
        )  # fmt: skip
        until = time.monotonic() + _STARTING_S
        while "microphone" not in self._list("sources"):
            if self._server.poll() is not None or time.monotonic() > until:
                log = self.folder / "log"
                raise RuntimeError(f"pulseaudio does not start: {log.read_text()[-2000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """The sound server crashes."""
        for process in self._processes:
            process.kill()
            process.wait()
        self._processes.clear()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """The sound server does not answer while the block runs."""
        self._server.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._server.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End everything."""
        self.kill()

    def say(self, sound: Path | NDArray[np.float32], rate: int = RATE) -> None:
        """Speak into the microphone: a file, or float32 [n] at `rate` Hz; returns at its end."""
        if isinstance(sound, Path):
            sound, rate = soundfile.read(sound, dtype="float32")
        subprocess.run(
            [*_pacat("pacat", rate), "--device=mouth", "--latency-msec=500"],
            env=self._variables(),
            input=np.asarray(sound, dtype="<f4").tobytes(),
            check=True,
        )

    @contextlib.contextmanager
    def capture(self, source: str = "speaker.monitor") -> Iterator[Capture]:
        """Record what the speaker plays (or `source` hears) while the block runs."""
        process = subprocess.Popen(
            [*_pacat("parec", RATE), f"--device={source}", "--latency-msec=20"],
            env=self._variables(),
            stdout=subprocess.PIPE,
        )
        capture, begun = Capture(), threading.Event()
        thread = threading.Thread(target=_collect, args=(process, capture, begun))
        thread.start()
        try:
            if not begun.wait(_STARTING_S):
                raise RuntimeError(f"{source} gives no samples")
            yield capture
            time.sleep(0.1)  # what was just played is on its way
        finally:
            process.kill()
            process.wait()
            thread.join()

    @contextlib.contextmanager
    def leak(self, percent: int = 30) -> Iterator[None]:
        """The microphone hears the speaker, as in a room, at `percent` of the volume control."""
        module = self._pactl(
            "load-module", "module-loopback", "source=speaker.monitor", "sink=mouth",
            "latency_msec=30", "source_dont_move=1", "sink_dont_move=1",
        ).strip()  # fmt: skip
        for line in self._list("sink-inputs").splitlines():
            if "module-loopback" in line:
                self._pactl("set-sink-input-volume", line.split("\t")[0], f"{percent}%")
        try:
            yield
        finally:
            self._pactl("unload-module", module)

    def unplug_microphone(self) -> None:
        """Take the microphone away, from under whoever listens."""
        self._end_streams("microphone", "source")
        self._pactl("unload-module", "module-remap-source")

    def plug_in_microphone(self) -> None:
        """Bring it back."""
        self._pactl("load-module", *_MODULES[4].split())

    def unplug_speaker(self) -> None:
        """Take the speaker away, from under whoever plays."""
        self._end_streams("speaker", "sink")
        for line in self._list("modules").splitlines():
            if "sink_name=speaker" in line:
                self._pactl("unload-module", line.split("\t")[0])

    def plug_in_speaker(self) -> None:
        """Bring it back."""
        self._pactl("load-module", *_MODULES[2].split())

    def _end_streams(self, device: str, kind: str) -> None:
        """End the streams of a device; without that, PulseAudio moves them to another one."""
        devices = [line.split("\t") for line in self._list(f"{kind}s").splitlines()]
        number = next(fields[0] for fields in devices if fields[1] == device)
        streams = "source-output" if kind == "source" else "sink-input"
        with socket.socket(socket.AF_UNIX) as commands:
            commands.connect(f"{self.folder}/commands")
            for line in self._list(f"{streams}s").splitlines():
                if line.split("\t")[1] == number:
                    commands.sendall(f"kill-{streams} {line.split()[0]}\n".encode())
            time.sleep(0.1)  # its answer is empty

    def _list(self, what: str) -> str:
        return self._pactl("list", "short", what, check=False)

    def _pactl(self, *arguments: str, check: bool = True) -> str:
        return subprocess.run(
            ["pactl", *arguments],
            env=self._variables(),
            stdout=subprocess.PIPE,
            stderr=None if check else subprocess.DEVNULL,
            text=True,
            check=check,
        ).stdout

    def _run(self, *command: str) -> subprocess.Popen[bytes]:
        # So that nothing stays behind when the tests are killed.
        mortal = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
        process = subprocess.Popen(
            [*mortal, *command],
            env=self._variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._processes.append(process)
        return process

    def _variables(self) -> dict[str, str]:
        return {**os.environ, **self.environment}


def _pacat(program: str, rate: int) -> Sequence[str]:
    return [program, "--raw", "--format=float32le", f"--rate={rate}", "--channels=1"]


def _collect(process: subprocess.Popen[bytes], capture: Capture, begun: threading.Event) -> None:
    assert process.stdout is not None
    rest = b""
    while data := process.stdout.read1(1 << 16):  # type: ignore[attr-defined]
        data = rest + data
        whole = len(data) // 4 * 4
        chunk, rest = np.frombuffer(data[:whole], dtype="<f4"), data[whole:]
        if not capture.chunks:
            capture.started = time.monotonic() - len(chunk) / RATE
            begun.set()
        capture.chunks.append(chunk)
