"""llama.cpp's own quantizer, run in a process that can be interrupted."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from .worker import run_worker

__all__ = ["quantize_gguf"]

_BUFFER_BYTES = 1 << 30
"""Of tensor rows the quantizer holds at once; its default is 8 GiB."""
_TENSOR_LINE = re.compile(r"\[\s*\d+/\s*\d+\]\s+(\S+)\s+-\s+\[")
"""What the quantizer logs for each tensor: `[   1/  27] output.weight - [...], …`."""


def quantize_gguf(
    source: Path,
    out: Path,
    *,
    file_type: int,
    tensor_types: Mapping[str, int],
    tensor_bytes: Mapping[str, int],
    imatrix: Path | None,
    threads: int,
    progress: Callable[[int, int], None],
) -> None:
    """Write `out`, the GGUF `source` quantized to llama.cpp's `file_type`, in the same folder.

    `tensor_types` maps matrices to GGML's numbers of their types; what it does not name is
    stored as llama.cpp sees fit for the file type. `tensor_bytes` maps the tensors of `source`
    to their sizes; `progress` is told the bytes of the tensors that are done, and of all.
    `threads` 0: one per core.

    Raises:
        MimoEdgeError: the quantizer failed; `out` is removed, as on any exception.
    """
    total, done = sum(tensor_bytes.values()), 0

    def on_line(line: str) -> None:
        nonlocal done
        if match := _TENSOR_LINE.search(line):
            done += tensor_bytes.get(match[1], 0)
            progress(done, total)

    progress(0, total)
    request = {
        "folder": str(source.parent.resolve()),
        "source": source.name,
        "out": out.name,
        "file_type": file_type,
        "tensor_types": dict(tensor_types),
        "threads": threads,
        "imatrix": str(imatrix.resolve()) if imatrix else None,
        "buffer_bytes": _BUFFER_BYTES,
    }
    run_worker("quantize_worker", request, on_line, what="llama.cpp's quantizer", out=out)
