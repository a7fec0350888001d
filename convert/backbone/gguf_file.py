"""Writing tensors into a GGUF piece by piece, so that memory does not grow with them.

gguf-py lays out the header and the metadata; its own `write_tensor_data` wants whole
tensors in memory, in the dtype of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import gguf
import ml_dtypes
import numpy as np
import numpy.typing as npt

from mimo_edge.errors import BadInputError

from ..checkpoints.float_types import check_finite, to_float32

__all__ = ["FLOATS", "Progress", "write_gguf"]

Progress = Callable[[str, int, int], None]
"""Told the stage, how much of it is done and how much there is: bytes of what is written,
quantized or hashed, else positions, patches or layers."""

FLOATS: Mapping[str, tuple[Any, np.dtype[Any]]] = {
    "f32": (gguf.GGMLQuantizationType.F32, np.dtype(np.float32)),
    "f16": (gguf.GGMLQuantizationType.F16, np.dtype(np.float16)),
    "bf16": (gguf.GGMLQuantizationType.BF16, np.dtype(np.uint16)),
}
"""Name → GGUF dtype, and the numpy dtype of its values (bfloat16: its bits)."""
_PIECE = 1 << 22
"""Values converted and written at a time: 16 MiB as float32."""


def write_gguf(
    writer: gguf.GGUFWriter,
    path: Path,
    sources: Iterator[tuple[str, str, npt.NDArray[Any]]],
    tell: Progress,
) -> None:
    """Write what `writer` was told and the tensors of `sources`, in the order told.

    `sources` yields the name, what to call it in an error, and the values, float32, float16
    or the bits of bfloat16; they are converted to the dtypes told. Of a tensor told as one of
    the quantized types it yields the blocks, as bytes, which go out as they are. The data goes
    out in pieces, never a tensor at once; `tell` hears of each.

    Raises:
        MimoEdgeError: a value is no number, or too large for the dtype it is to have.
        OSError: the file cannot be written.
    """
    infos = dict(writer.tensors[0])
    total, done = sum(info.nbytes for info in infos.values()), 0
    try:
        writer.write_header_to_file(path)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        stream: BinaryIO = writer.fout[0]
        writer.write_padding(stream, stream.tell())
        for name, what, raw in sources:
            for piece in _pieces(raw, infos[name].dtype, what):
                stream.write(piece.data)
                done += piece.nbytes
                tell("writing the backbone", done, total)
            writer.write_padding(stream, infos[name].nbytes)
        stream.flush()
    finally:
        writer.close()


def _pieces(
    raw: npt.NDArray[Any], kind: gguf.GGMLQuantizationType, what: str
) -> Iterator[npt.NDArray[Any]]:
    """The values in order and in the dtype `kind`; views of the file where it has that dtype."""
    wanted = dict(FLOATS.values()).get(kind)
    flat = raw.reshape(-1)
    if wanted is None:
        for start in range(0, flat.size, _PIECE):
            yield flat[start : start + _PIECE]
        return
    for start in range(0, flat.size, _PIECE):
        piece = flat[start : start + _PIECE]
        check_finite(piece, what)
        yield piece if piece.dtype == wanted else _converted(piece, kind, what)


def _converted(
    piece: npt.NDArray[Any], kind: gguf.GGMLQuantizationType, what: str
) -> npt.NDArray[Any]:
    values = to_float32(piece)
    if kind == gguf.GGMLQuantizationType.F32:
        return values
    narrow = np.float16 if kind == gguf.GGMLQuantizationType.F16 else ml_dtypes.bfloat16
    with np.errstate(over="ignore"):
        result = values.astype(narrow)
    if not np.isfinite(result).all():
        largest = float(np.abs(values).max())
        raise BadInputError(
            f"{what} has the value {largest:g}, which {kind.name} cannot hold; "
            "choose the backbone type f32 or, for a bfloat16 checkpoint, bf16."
        )
    return result.view(np.uint16) if kind == gguf.GGMLQuantizationType.BF16 else result
