"""Commands of `mimo-edge` in children with limits, without importing it anew for each.

A server process imports everything once, before any native thread exists, and forks for every
command. What the child does then, down to the interpreter's end, is what a program of its own
does.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parents[2]

MEMORY = 2 << 30
"""Bytes of address space of a child; a plain run on the tests' bundle needs 0.5 GB."""
CPU_SECONDS = 40
WALL_SECONDS = 60
"""Far beyond what a run takes, also on a busy machine."""
LARGEST_FILE = 256 << 20
_ENVIRONMENT = {"PYTHONPATH": str(ROOT), "ORT_DISABLE_TELEMETRY": "1"}
"""onnxruntime would start a thread when it is imported; in a forked child it waits for it."""
_IMPORTED = ("mimo_edge.commands.cli", "convert.cli", "gguf", "onnx_ir")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a child left."""

    status: int
    """Exit status; minus the signal that ended it."""
    out: str
    err: str

    def describe(self) -> str:
        """Status and the end of what was printed."""
        status = f"status {self.status}"
        if self.status < 0:
            status = f"ended by {signal.Signals(-self.status).name}"
        return f"{status}; stderr: {self.err[-1500:]!r}; stdout: {self.out[-300:]!r}"


class Forks:
    """The server; a context manager. Not for several threads at once."""

    def __enter__(self) -> Forks:
        """Start it."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=os.environ | _ENVIRONMENT,
            )
        self._socket = ours
        self._lines = ours.makefile("rw", encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """End it; a child that still runs is ended by its limits."""
        self._lines.close()
        self._socket.close()
        self._server.wait()

    def run(
        self,
        arguments: Sequence[str],
        folder: Path,
        *,
        stdin: bytes = b"",
        program: str = "mimo_edge.commands.cli:main",
        kill_after: float | None = None,
    ) -> Outcome:
        """`mimo-edge ARGUMENTS` in `folder`, which is also its home and its temporary folder.

        `program` is another function of the arguments to be called, by its module and name. With
        `kill_after` it is killed (-9) after so many seconds, if it has not ended by then.
        """
        streams = folder.parent / f"{folder.name}.streams"
        streams.mkdir(exist_ok=True)
        (streams / "in").write_bytes(stdin)
        request = {
            "program": program,
            "arguments": list(arguments),
            "folder": str(folder),
            "streams": str(streams),
            "kill_after": kill_after,
        }
        self._lines.write(json.dumps(request) + "\n")
        self._lines.flush()
        answer = self._lines.readline()
        if not answer:
            raise RuntimeError("the server of the robustness tests is gone")
        out, err = (
            (streams / name).read_text("utf-8", "backslashreplace") for name in ("out", "err")
        )
        return Outcome(status=int(answer), out=out, err=err)


def _serve(control: int) -> None:
    """Fork for every line of the socket; answer with the child's status."""
    for module in _IMPORTED:  # also what a command imports only when it runs
        importlib.import_module(module)
    # Children need not look through, and so copy, what the garbage collector knows until here.
    gc.freeze()
    lines = socket.socket(fileno=control).makefile("rw", encoding="utf-8")
    for line in lines:
        request = json.loads(line)
        child = os.fork()
        if not child:
            _confine(request)
            module, name = request["program"].split(":")
            getattr(importlib.import_module(module), name)(request["arguments"])
            return  # as a program ends: with the interpreter
        if request["kill_after"] is not None:
            time.sleep(request["kill_after"])
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        lines.write(f"{os.waitstatus_to_exitcode(status)}\n")
        lines.flush()


def _confine(request: dict[str, str]) -> None:
    """Folder, streams, environment and limits of a child."""
    import resource

    streams = Path(request["streams"])
    for number, name in enumerate(("in", "out", "err")):
        flags = os.O_RDONLY if name == "in" else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        opened = os.open(streams / name, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(request["folder"])
    os.environ.update({"HOME": request["folder"], "TMPDIR": request["folder"]})
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_FSIZE, LARGEST_FILE),
    ):
        resource.setrlimit(limit, (value, value))
    signal.alarm(WALL_SECONDS)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
