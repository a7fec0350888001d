"""Terminals, pipes and signals: what only a process of its own can show."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mimo_edge.model import MimoAudio
from tests.tools.command_line import QUICK
from tests.tools.signals import hear_ctrl_c

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "mimo_edge")
LONG = ("--threads", "1", "--max-new-tokens", "7000", "--ctx", "8192", "--seed", "1")

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pty and no SIGINT")


@pytest.fixture
def environment(default_bundle: Path) -> dict[str, str]:
    return {**os.environ, "MIMO_EDGE_MODEL": str(default_bundle), "TERM": "xterm"}


def on_terminal(
    arguments: tuple[object, ...], environment: dict[str, str]
) -> Iterator[tuple[bytes, subprocess.Popen[bytes]]]:
    """Pieces that a command on a terminal prints, standard error included, as they come."""
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        env=environment,
    )
    os.close(theirs)
    try:
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # The other side is closed: Linux says EIO.
                piece = b""
            if not piece:
                break
            yield piece, process
    finally:
        process.wait(timeout=60)
        os.close(ours)


@posix
@pytest.mark.parametrize("task", ["text", "transcribe", "chat"])
def test_text_is_live_on_a_terminal(
    environment: dict[str, str], clips: dict[str, Path], task: str
) -> None:
    """It comes in pieces, and nothing later erases its line."""
    arguments = {
        "text": ("Hello there.",),
        "transcribe": (clips["short"],),
        "chat": ("--input", clips["short"], "--text-only"),
    }[task]
    for seed in range(4, 12):  # until the random model has something to say
        options = ("--threads", "1", "--max-new-tokens", "200", "--seed", str(seed), "--ctx", "512")
        plain = subprocess.run(
            [*COMMAND, task, *map(str, arguments), *options],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            timeout=60,
        )
        assert plain.returncode == 0 and b"\x1b" not in plain.stdout + plain.stderr
        if len(plain.stdout) > 100:
            break
    pieces, processes = zip(*on_terminal((task, *arguments, *options), environment), strict=True)
    assert processes[0].returncode == 0
    shown = b"".join(pieces)
    # Everything that moves the cursor belongs to the spinners before the text.
    text = shown[shown.rfind(b"\x1b[2K") + 4 :].decode().replace("\r\n", "\n").strip()
    expected = "".join(c for c in plain.stdout.decode() if c.isprintable() or c in "\n\t")
    printed = "".join(c for c in text if c.isprintable() or c in "\n\t")
    assert printed.split("\n")[0].strip() == expected.strip().split("\n")[0].strip()
    assert len(pieces) > 5


@posix
def test_a_reader_that_leaves(environment: dict[str, str]) -> None:
    """`mimo-edge … | head -1`: no complaint about the broken pipe."""
    many = [f"Line {number}." for number in range(40)]
    for arguments in (("text", *many, *QUICK), ("info",), ("--help",), ("text", "--help")):
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None and process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        complaint = process.stderr.read()
        process.stderr.close()
        assert process.wait(timeout=60) in (0, 1)
        # `info` may note that other programs are busy; what fails begins with the program's name.
        assert b"mimo-edge:" not in complaint and b"Traceback" not in complaint, complaint


@pytest.fixture
def long_clip(clips: dict[str, Path], tmp_path: Path) -> Path:
    """Ten minutes: the encoder is busy for seconds."""
    samples, rate = soundfile.read(clips["question"], dtype="float32")
    path = tmp_path / "in" / "long.flac"
    path.parent.mkdir()
    soundfile.write(path, np.resize(samples, 600 * rate), rate)
    return path


@posix
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("task", ["text", "speak", "chat", "encode", "transcribe"])
def test_stopping(
    environment: dict[str, str], tmp_path: Path, long_clip: Path, task: str, name: str
) -> None:
    """Stopped in its middle, a command says one word and leaves no file."""
    out = tmp_path / "out"
    out.mkdir()
    arguments = {
        "text": (*(f"Say {number}." for number in range(500)), "--json", *LONG),
        "speak": ("Hello.", "--voice", long_clip, "-o", out / "a.wav", *LONG),
        "chat": ("--input", long_clip, "--output", out, *LONG),
        "encode": (long_clip, "-o", out / "a.npz", "--threads", "1"),
        "transcribe": (long_clip, *LONG),
    }[task]
    process = subprocess.Popen(
        [*COMMAND, task, *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_ctrl_c,
    )
    wait_until_loaded(process, environment["MIMO_EDGE_MODEL"])
    time.sleep(0.3)
    assert process.poll() is None, process.communicate()
    sent = time.monotonic()
    process.send_signal(getattr(signal, name))
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert err.strip() == "mimo-edge: interrupted"
    assert not list(out.iterdir())
    assert time.monotonic() - sent < 10


@posix
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
@pytest.mark.parametrize("program", ["mimo_edge", "mimo_edge.chat", "convert"])
def test_stopping_while_it_is_imported(program: str) -> None:
    """When a library appears in its memory, the rest is yet to come."""
    for library in ("numpy/_core/_multiarray_umath", "libsndfile", "onnxruntime_pybind11_state"):
        process = subprocess.Popen(
            [sys.executable, "-m", program, "--help"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=hear_ctrl_c,
        )
        maps, until = Path(f"/proc/{process.pid}/maps"), time.monotonic() + 60
        while process.poll() is None and time.monotonic() < until:
            if library in maps.read_text():
                break
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode in (0, 130, -signal.SIGINT)
        assert err in (b"", b"mimo-edge: interrupted\n"), err


def wait_until_loaded(process: subprocess.Popen[str], bundle: str) -> None:
    """Until the last graph is mapped (Linux), or a time in which it should be."""
    maps = Path(f"/proc/{process.pid}/maps")
    if not maps.exists():
        time.sleep(3)
        return
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        if f"{bundle}/hidden_downcast.npy" in maps.read_text():
            return
        time.sleep(0.02)


@posix
def test_a_program_that_outlives_its_terminal(environment: dict[str, str]) -> None:
    """`nohup`: who ignores the end of a terminal is not ended by it."""
    process = subprocess.Popen(
        [*COMMAND, "text", "Hello.", "Again.", "--json", *QUICK],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and first and rest.count(b"\n") == 1


@posix
def test_a_terminal_that_is_closed(
    environment: dict[str, str], clips: dict[str, Path], tmp_path: Path
) -> None:
    """The conversation until then is saved, though nothing can be printed any more."""
    saved = tmp_path / "talk.npz"
    inputs = ("--input", clips["short"]) * 60
    arguments = ("chat", *inputs, "--save-session", saved, "--text-only", "-v", "--seed", 4)
    options = ("--threads", 1, "--ctx", 8192, "--max-new-tokens", 100)
    script = """
import os, pty, signal, sys, time
child, terminal = pty.fork()
if not child:
    os.execv(sys.argv[1], sys.argv[1:])
shown = b""
while shown.count(b"positions") < 2:
    shown += os.read(terminal, 4096)
os.close(terminal)  # the kernel sends SIGHUP
os.kill(child, signal.SIGHUP)  # and so does a shell
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    command = [*COMMAND, *map(str, (*arguments, *options))]
    done = subprocess.run(
        [sys.executable, "-c", script, *command], cwd=ROOT, env=environment, timeout=120
    )
    assert done.returncode in (1, 130)
    assert len(MimoAudio.load(environment["MIMO_EDGE_MODEL"]).load_session(saved).turns) >= 2


@posix
def test_what_ends_a_program_waits_for_what_must_not_be_cut_short() -> None:
    script = """
import os, signal, time
import click
from mimo_edge.commands.program import run_command
from mimo_edge.commands.signals import deferred

@click.command()
def command():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    finally:
        os.kill(os.getpid(), signal.SIGHUP)  # the same wish
        with deferred():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                os.kill(os.getpid(), number)
            time.sleep(0.2)
            print("saved", flush=True)
        print("never", flush=True)

run_command(command)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (130, "saved\n"), done.stderr


@posix
def test_a_signal_in_a_finalizer_is_not_lost() -> None:
    """Python drops what a finalizer or a callback of C raises, Ctrl-C too."""
    script = """
import os, signal, time
import click
from mimo_edge.commands.program import run_command

class Unlucky:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)

@click.command()
def command():
    Unlucky()
    time.sleep(20)

run_command(command)
"""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (130, "mimo-edge: interrupted")
    assert time.monotonic() - began < 15
