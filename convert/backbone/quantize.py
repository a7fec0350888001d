"""llama.cpp's own quantizer, run in a process that can be interrupted."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from mimo_edge.atomic import has_little_room
from mimo_edge.errors import MimoEdgeError, OutputError
from mimo_edge.installation import CONVERTER, IMPORT_ROOT

from ..memory import no_memory

__all__ = ["quantize_gguf"]

_LOGGER = logging.getLogger(__name__)

_BUFFER_BYTES = 1 << 30
"""Of tensor rows the quantizer holds at once; its default is 8 GiB."""
_SIGKILL = 9
_LINES_KEPT = 40
"""The end of the quantizer's log: a crash may print more after its reason."""
_NO_MEMORY = re.compile(
    r"bad_alloc|MemoryError|out of memory|cannot allocate|failed to allocate"
    r"|allocation still failed|failed to map segment|pthread_create failed",
    re.IGNORECASE,
)
"""How llama.cpp, Python, the dynamic linker and OpenBLAS say it."""
_TENSOR_LINE = re.compile(r"\[\s*\d+/\s*\d+\]\s+(\S+)\s+-\s+\[")
"""What the quantizer logs for each tensor: `[   1/  27] output.weight - [...], …`."""


def quantize_gguf(
    source: Path,
    out: Path,
    *,
    file_type: int,
    tensor_bytes: Mapping[str, int],
    imatrix: Path | None,
    threads: int,
    progress: Callable[[int, int], None],
) -> None:
    """Write `out`, the GGUF `source` quantized to llama.cpp's `file_type`, in the same folder.

    `tensor_bytes` maps the tensors of `source` to their sizes; `progress` is told the
    bytes of the tensors that are done, and of all. `threads` 0: one per core.

    Raises:
        MimoEdgeError: the quantizer failed; `out` is removed, as on any exception.
    """
    request = {
        "folder": str(source.parent.resolve()),
        "source": source.name,
        "out": out.name,
        "file_type": file_type,
        "threads": threads,
        "imatrix": str(imatrix.resolve()) if imatrix else None,
        "buffer_bytes": _BUFFER_BYTES,
    }
    try:
        status, log = _run(request, tensor_bytes, progress)
        if status != 0:
            raise _failure(out, status, log)
    except BaseException:
        out.unlink(missing_ok=True)
        raise


def _run(
    request: Mapping[str, object],
    tensor_bytes: Mapping[str, int],
    progress: Callable[[int, int], None],
) -> tuple[int, list[str]]:
    """Exit status of the worker and the last lines of its log."""
    total, done = sum(tensor_bytes.values()), 0
    log: deque[str] = deque(maxlen=_LINES_KEPT)
    process = subprocess.Popen(
        [sys.executable, "-m", f"{CONVERTER}.backbone.quantize_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=_environment(),
        encoding="utf-8",
        errors="replace",
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        progress(0, total)
        for line in process.stdout:
            _LOGGER.debug("%s", line.rstrip())
            if line.strip():
                log.append(line.strip())
            if match := _TENSOR_LINE.search(line):
                done += tensor_bytes.get(match[1], 0)
                progress(done, total)
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


def _environment() -> dict[str, str]:
    """The worker imports this package from where it was imported here."""
    paths = [str(IMPORT_ROOT), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _failure(out: Path, status: int, log: list[str]) -> MimoEdgeError:
    if has_little_room(out.parent):
        return OutputError(
            f"The disk is full (hardly anything is free in {out.parent}); make room, or choose a "
            "folder on another disk."
        )
    # What kills a process outright, is the system when memory runs out.
    if status == -_SIGKILL or any(_NO_MEMORY.search(line) for line in log):
        return no_memory()
    return MimoEdgeError(
        f"llama.cpp's quantizer {_ended(status)} while writing {out}"
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
