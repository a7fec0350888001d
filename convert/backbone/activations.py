"""How much each input column of the backbone's matrices matters, measured along given positions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .worker import run_worker

__all__ = ["Passage", "measure_importance"]

_PROGRESS_LINE = re.compile(r"\[positions\s+(\d+)/(\d+)\]")
"""What the worker says behind every batch."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Passage:
    """Positions that belong together, as the backbone gets them."""

    embeddings: NDArray[np.float32]
    """[positions, hidden]."""
    weights: NDArray[np.float32]
    """[positions]: how much each of them counts."""


def measure_importance(
    model: Path,
    passages: Sequence[Passage],
    out: Path,
    *,
    threads: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Run passages through the GGUF `model`; write `out`, an importance matrix in its folder.

    `out` holds for every matrix but the token embeddings the mean squared activation of each
    input column, the positions counting as their weights say. It is of llama.cpp's own format.
    `progress` is told the positions that are done, and all. `threads` 0: one per core.

    Raises:
        MimoEdgeError: llama.cpp cannot evaluate the model, or the memory is full.
    """
    rows = out.with_name(out.name + ".rows.npz")

    def on_line(line: str) -> None:
        if match := _PROGRESS_LINE.search(line):
            progress(int(match[1]), int(match[2]))

    request = {
        "folder": str(model.parent.resolve()),
        "model": model.name,
        "rows": rows.name,
        "out": out.name,
        "threads": threads,
    }
    try:
        np.savez(
            rows,
            embeddings=np.concatenate([passage.embeddings for passage in passages]),
            weights=np.concatenate([passage.weights for passage in passages]),
            lengths=np.array([len(passage.weights) for passage in passages]),
        )
        run_worker("activation_worker", request, on_line, what="measuring the activations", out=out)
    finally:
        rows.unlink(missing_ok=True)
