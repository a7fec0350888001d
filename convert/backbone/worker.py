"""llama.cpp in a process of its own: one that can be interrupted, and whose memory is gone after.

What is computed there is one C call of minutes that Python cannot interrupt and that may abort the
process it is in. Standard input carries one line of JSON, the request, and stays open: when it
ends, the parent is gone and so is the work's purpose. Everything that is logged goes to standard
output. Exit status 0: the work is done.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mimo_edge.atomic import has_little_room
from mimo_edge.errors import MimoEdgeError, OutputError
from mimo_edge.installation import CONVERTER, python_command
from mimo_edge.system.memory import is_memory_fault

from ..memory import no_memory

__all__ = ["run_worker", "serve_request"]

_LOGGER = logging.getLogger(__name__)

_SIGKILL = 9
_LINES_KEPT = 40
"""The end of a worker's log: a crash may print more after its reason."""
_KEPT: list[Any] = []
"""What llama.cpp holds a pointer to, as long as the process lives."""


def run_worker(
    module: str,
    request: Mapping[str, object],
    on_line: Callable[[str], None],
    *,
    what: str,
    out: Path,
) -> None:
    """Run `convert.backbone.{module}` to its end; `on_line` hears each line of its log.

    `what` and `out` are for errors: what failed, and what it was writing.

    Raises:
        MimoEdgeError: it failed; why, as far as its log tells. `out` is removed, as on any
            exception.
    """
    try:
        status, log = _run(module, request, on_line)
        if status != 0:
            raise _failure(what, out, status, log)
    except BaseException:
        out.unlink(missing_ok=True)
        raise


def _run(
    module: str, request: Mapping[str, object], on_line: Callable[[str], None]
) -> tuple[int, list[str]]:
    """Exit status of the worker and the last lines of its log."""
    log: deque[str] = deque(maxlen=_LINES_KEPT)
    process = subprocess.Popen(
        python_command(f"{CONVERTER}.backbone.{module}"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            _LOGGER.debug("%s", line.rstrip())
            if line.strip():
                log.append(line.strip())
            on_line(line)
        return process.wait(), list(log)
    except BrokenPipeError:  # it died before it read the request
        return process.wait() or 1, process.stdout.read().strip().splitlines()
    finally:
        # Also on Ctrl-C, which the worker ignores: the C call would not notice it.
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()
        try:
            process.stdin.close()
        except BrokenPipeError:
            _LOGGER.debug("the worker was gone before its request was written")


def _failure(what: str, out: Path, status: int, log: list[str]) -> MimoEdgeError:
    if has_little_room(out.parent):
        return OutputError(
            f"The disk is full (hardly anything is free in {out.parent}); make room, or choose a "
            "folder on another disk."
        )
    # What kills a process outright, is the system when memory runs out.
    if status == -_SIGKILL or any(map(is_memory_fault, log)):
        return no_memory()
    return MimoEdgeError(
        f"{what} {_ended(status)} while writing {out}"
        f" ({log[-1] if log else 'it said nothing'}); its whole log says more.",
        about="log",
    )


def _ended(status: int) -> str:
    if status >= 0:
        return f"stopped with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def serve_request(work: Callable[[dict[str, Any]], int]) -> int:
    """Inside the worker: do the request on standard input; the exit status.

    Interrupts are the parent's; when that one ends, so does this process.
    """
    import llama_cpp  # the parent needs none of it

    def log(_level: int, text: bytes, _data: int | None) -> None:
        os.write(1, text)

    callback = llama_cpp.llama_log_callback(log)
    _KEPT.append(callback)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    llama_cpp.llama_log_set(callback, ctypes.c_void_p())
    # Bare names: llama.cpp opens files with the C library, which on Windows does not understand
    # UTF-8 paths.
    os.chdir(request["folder"])
    return work(request)


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)
