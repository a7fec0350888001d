"""What macOS and Windows do otherwise, as far as it can be tried on another system.

A child process gets what they lack taken away, and their name, behind the imports of other people's
libraries, which are built for this system. What is tried is our own code.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SUM = ROOT / "tests" / "data" / "demo" / "sum.flac"

PRETEND = """
import asyncio, ctypes, logging, multiprocessing, os, signal, socket, ssl, subprocess, sys
import click, filelock, llama_cpp._ggml, numpy, onnxruntime, platformdirs, psutil, pydantic
import rich.console, rich.live, rich.progress, soundfile, soxr
import rich.status, rich.table, sysconfig, zoneinfo

sysconfig.get_config_vars()

name, lacks = sys.argv[1], sys.argv[2].split()
for lacking in lacks:
    module, _, attribute = lacking.partition(".")
    if not attribute:
        sys.modules[module] = None
    elif hasattr(sys.modules[module], attribute):
        delattr(sys.modules[module], attribute)
sys.platform = name
sys.argv = ["mimo-edge", *sys.argv[3:]]
from mimo_edge.__main__ import main
main()
"""
LACKS = {
    "win32": (
        "fcntl grp pty pwd resource termios tty os.chown os.fchmod os.fchown os.fork os.forkpty "
        "os.geteuid os.getuid os.mkfifo os.pread os.register_at_fork os.sched_getaffinity "
        "os.uname signal.SIGHUP signal.SIGKILL signal.SIGUSR1 "
        "signal.pthread_kill signal.pthread_sigmask signal.setitimer socket.AF_UNIX"
    ),
    "darwin": "os.sched_getaffinity os.posix_fadvise os.posix_fallocate os.memfd_create",
}


def pretend(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """`mimo-edge …` on a system of this name, as far as that goes."""
    command = [sys.executable, "-c", PRETEND, name, LACKS[name], *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", timeout=300, cwd=ROOT
    )


@pytest.mark.skipif(sys.platform != "linux", reason="the others need no pretending")
@pytest.mark.parametrize("name", list(LACKS))
def test_commands(name: str, tmp_path: Path) -> None:
    done = pretend(name, "transcribe", SUM)
    assert (done.returncode, done.stdout.strip()) == (0, "what is seven plus five"), done.stderr
    spoken = tmp_path / "spoken.wav"
    done = pretend(name, "speak", "my name is echo", "--seed", "2", "-o", spoken)
    assert done.returncode == 0 and spoken.stat().st_size > 10_000, done.stderr
    done = pretend(name, "info")
    assert done.returncode == 0 and "providers of onnxruntime here: cpu" in done.stdout, done.stderr
    done = pretend(name, "chat", "--input", SUM, "--output", tmp_path, "--seed", "1")
    assert done.returncode == 0 and "seven plus five is twelve" in done.stdout, done.stderr


def files() -> list[str]:
    """Paths of everything in the repository."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True)
    if done.returncode:
        pytest.skip("this is no checkout of git")
    return [name for name in done.stdout.decode().split("\0") if name]


def test_names_that_every_system_can_have() -> None:
    """Not two that differ by case alone, nor those of Windows' devices, nor endless ones."""
    counts = Counter(name.lower() for name in files())
    assert [name for name, count in counts.items() if count > 1] == []
    devices = {"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(10))}
    for name in files():
        parts = name.split("/")
        assert not set('<>:"|?*\\') & set(name), name
        assert not any(part.split(".")[0].lower() in devices for part in parts), name
        assert not any(part.endswith((" ", ".")) for part in parts), name
        assert len(name) < 160, name  # of the 259 that Windows allows for a whole path


def test_text_files_are_utf_8_wherever_they_are_read() -> None:
    """On Windows it would be the code page of the country."""
    faults = []
    for name in files():
        if name.startswith(("mimo_edge/", "convert/", "deploy/")) and name.endswith(".py"):
            tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
            calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
            faults += [f"{name}:{call.lineno}" for call in calls if _is_at_risk(call)]
    assert not faults


def _is_at_risk(node: ast.Call) -> bool:
    """Whether it reads or writes text in the encoding of the system."""
    function = node.func
    called = getattr(function, "attr", None) or getattr(function, "id", None)
    named = {keyword.arg for keyword in node.keywords}
    if called in ("read_text", "write_text") and isinstance(function, ast.Attribute):
        position = 0 if called == "read_text" else 1
        return "encoding" not in named and len(node.args) <= position
    if called in ("run", "Popen", "check_output"):
        return bool({"text", "universal_newlines"} & named) and "encoding" not in named
    if called == "open" and isinstance(function, ast.Name):
        return "encoding" not in named and not _is_binary(node.args[1:2])
    if called == "open" and node.args and _is_mode(node.args[0]):
        return "encoding" not in named and not _is_binary(node.args[:1])
    return False


def _is_mode(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and set(node.value) <= set("rwxabt+")
    )


def _is_binary(modes: list[ast.expr]) -> bool:
    return any(isinstance(mode, ast.Constant) and "b" in str(mode.value) for mode in modes)
