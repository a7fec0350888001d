"""Importance matrices: how much each input column of a weight matters.

Made by llama.cpp's `llama-imatrix` from sample text; its quantizer spends precision
where the mean squared activation is large. Two file formats are in use: GGUF with
tensors `{name}.in_sum2` and `{name}.counts`, and the older `.dat`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mimo_edge.bundle.gguf_header import GgufTensor, read_header
from mimo_edge.bundle.untrusted_json import decode_text
from mimo_edge.errors import BadInputError

__all__ = ["check_imatrix", "read_imatrix"]

_SUMS, _COUNTS = ".in_sum2", ".counts"
_LARGEST_FILE = 1 << 30
"""Bytes; the 7B model's takes 5 MB."""
_LARGEST_VALUE = 1e30
"""Of a mean squared activation; llama.cpp's quantizer multiplies and adds them as float32."""


def read_imatrix(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    """GGUF tensor name → mean squared activation per input column, float32 [columns].

    Raises:
        MimoEdgeError: no such file, or it is of neither format.
    """
    if not path.is_file():
        raise BadInputError(f"{path} is not a file; give the importance matrix's own file.")
    try:
        size = path.stat().st_size
        if size > _LARGEST_FILE:
            raise ValueError(f"it has {size >> 20} MiB")
        with path.open("rb") as stream:
            is_gguf = stream.read(4) == b"GGUF"
        entries = _read_gguf(path) if is_gguf else _read_dat(path.read_bytes())
    except (ValueError, KeyError, IndexError, struct.error, OSError) as error:
        raise BadInputError(
            f"{path} is not an importance matrix of llama.cpp ({error}); "
            "make it with `llama-imatrix` for this model."
        ) from error
    for name, values in entries.items():
        # Not between NaN and any number either.
        if not ((values >= 0) & (values <= _LARGEST_VALUE)).all():
            raise BadInputError(
                f"{path}: {name!r} holds values that are no mean squares (negative, too large or "
                "not finite); make it anew."
            )
    # What was never evaluated weighs every column alike.
    return {name: v if v.any() else np.ones_like(v) for name, v in entries.items()}


def check_imatrix(
    entries: Mapping[str, npt.NDArray[np.float32]],
    matrices: Mapping[str, tuple[int, ...]],
    path: Path,
) -> None:
    """See that an importance matrix was made for the model with these weight matrices.

    `matrices` maps GGUF names to upstream shapes [rows, columns].

    Raises:
        MimoEdgeError: it covers other layers or other widths.
    """
    remedy = "it is for another model, make it with `llama-imatrix` for this one."
    for name, values in entries.items():
        if name not in matrices:
            raise BadInputError(f"{path} has {name!r}, which this model lacks: {remedy}")
        columns = matrices[name][-1]
        if values.size != columns:
            raise BadInputError(
                f"{path}: {name!r} has {values.size} values and the model {columns} columns: "
                f"{remedy}"
            )
    for name in matrices:
        # llama-imatrix never covers the embedding table and rarely the head.
        if name.startswith("blk.") and name not in entries:
            raise BadInputError(f"{path} lacks {name!r}, which this model has: {remedy}")


def _read_gguf(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    tensors = read_header(path).tensors

    def numbers(tensor: GgufTensor) -> npt.NDArray[np.float32]:
        if tensor.kind != "F32":
            raise ValueError(f"its numbers are stored as {tensor.kind}")
        return np.fromfile(path, "<f4", tensor.size // 4, offset=tensor.offset)

    entries = {}
    for name, tensor in tensors.items():
        if not name.endswith(_SUMS):
            continue
        base = name.removesuffix(_SUMS)
        sums, counts = numbers(tensor), numbers(tensors[base + _COUNTS])
        if counts.size != 1:
            raise ValueError(f"{base!r} has {counts.size} counts, as only experts have")
        with np.errstate(over="ignore"):  # what becomes infinite is refused
            entries[base] = sums / counts[0] if counts[0] > 0 else np.ones_like(sums)
    if not entries:
        raise ValueError(f"no tensor ends in {_SUMS}")
    return entries


def _read_dat(data: bytes) -> dict[str, npt.NDArray[np.float32]]:
    """int32 entries; for each int32 length, name, int32 calls, int32 values, float32 sums."""
    (count,) = struct.unpack_from("<i", data)
    offset = 4
    entries = {}
    if not 0 < count < 1 << 20:
        raise ValueError(f"{count} entries")
    for _ in range(count):
        (length,) = struct.unpack_from("<i", data, offset)
        if not 0 < length < 1 << 10:
            raise ValueError(f"a name of {length} bytes")
        name = decode_text(data[offset + 4 : offset + 4 + length])
        offset += 4 + length
        calls, values = struct.unpack_from("<ii", data, offset)
        if values < 1:
            raise ValueError(f"{name!r} with {values} values")
        sums = np.frombuffer(data, "<f4", values, offset + 8)
        offset += 8 + 4 * values
        if name in entries:
            raise ValueError(f"{name!r} is in it twice")
        entries[name] = (sums / max(calls, 1)).astype(np.float32)
    return entries
