"""Write importance matrices as llama-imatrix does, in both of its formats."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

__all__ = ["random_sums", "write_imatrix"]

CALLS = 3
"""Pieces of text that every entry was evaluated on."""


def random_sums(columns: Mapping[str, int]) -> dict[str, NDArray[np.float32]]:
    """Sums of squares for every name, as many as it has columns; always the same."""
    generator = np.random.default_rng(1)
    return {name: generator.random(size, np.float32) * 9 for name, size in columns.items()}


def write_imatrix(path: Path, sums: Mapping[str, NDArray[np.float32]], *, legacy: bool) -> None:
    """Write `sums` by GGUF name; `legacy`: the `.dat` of old."""
    if legacy:
        data = len(sums).to_bytes(4, "little")
        for name, values in sums.items():
            data += len(name).to_bytes(4, "little") + name.encode()
            data += CALLS.to_bytes(4, "little") + values.size.to_bytes(4, "little")
            data += values.tobytes()
        path.write_bytes(data)
        return
    writer = gguf.GGUFWriter(None, "imatrix")
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", ["text.txt"])
    for name, values in sums.items():
        writer.add_tensor(f"{name}.in_sum2", values[None])
        writer.add_tensor(f"{name}.counts", np.array([[CALLS]], np.float32))
    writer.write_header_to_file(path)
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
