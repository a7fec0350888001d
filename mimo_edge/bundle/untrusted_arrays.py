"""Arrays from files that anybody may have made: bundles, saved conversations, codes.

The one place that reads them. Of every array the dtype, the shape and the size are known from
its header before anything is unpacked, so a file can neither run code nor fill the memory, and
what does not fit the caller's description is an `UnusableArrayError` that says why.
"""

from __future__ import annotations

import math
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, cast

import numpy as np
from numpy.typing import NDArray

__all__ = ["ArrayFile", "UnusableArrayError", "map_matrix"]

_MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 512
"""Bytes; NumPy pads the header of a plain array to 128."""
_HEADER = re.compile(
    rb"\{'descr': '([<>|=][a-zA-Z]\d{1,3})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,19}(?:, ?|(?=\))))*)\), \} *\n"
)
"""What NumPy writes for an array of plain numbers; structures and objects look different."""
_ENCRYPTED = 0x1
_LARGEST_DIRECTORY = 1 << 23
"""Bytes of the list of an archive's parts: enough for 80,000."""
_LONGEST_END = 22 + 65_535 + 76
"""Bytes of what ends an archive: its record, a comment, and what ZIP64 adds."""
_LARGEST_WEIGHT = 1e9
"""Of a matrix; sums of such numbers are still numbers."""
_NAMED_SHAPE = 8
"""Dimensions that a message lists at most."""


class UnusableArrayError(ValueError):
    """Why an array cannot be used, as a part of a sentence."""


@dataclass(frozen=True)
class _Header:
    """What stands in front of an array's numbers."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    length: int
    """Bytes of the header itself."""

    @property
    def size(self) -> int:
        """Bytes of the numbers."""
        return math.prod(self.shape) * self.dtype.itemsize


class ArrayFile:
    """An archive of arrays (NumPy's .npz), opened for reading. Use it as a context manager.

    Only what is asked for is unpacked, and nothing before its header was checked.
    """

    def __init__(self, path: Path, *, budget: int) -> None:
        """Open it, to unpack at most `budget` bytes in all.

        Raises:
            UnusableArrayError: it is no such archive.
        """
        self._budget = budget
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise UnusableArrayError("it is not a regular file")
            if _directory_bytes(path) > _LARGEST_DIRECTORY:
                raise UnusableArrayError("it holds more parts than it can have")
            self._archive = zipfile.ZipFile(path)
        except _DAMAGE as error:
            raise UnusableArrayError(_reason(error)) from error
        self._members = {member.filename: member for member in self._archive.infolist()}

    def __contains__(self, name: str) -> bool:
        """Whether there is an array of this name."""
        return f"{name}.npy" in self._members

    def integers(
        self, name: str, shape: Sequence[int | None], *, least: int, most: int, longest: int
    ) -> NDArray[np.int64]:
        """An array of integers, whatever their width in the file, as int64.

        Args:
            name: of the array, without `.npy`.
            shape: None where any size from 0 to `longest` will do.
            least: of its values.
            most: of its values.
            longest: of the dimensions that are not given.

        Raises:
            UnusableArrayError: there is none, or it is something else.
        """
        values = self._array(name, "iu", "integers", shape, longest)
        # Compared before they are converted: a uint64 may not fit.
        if values.size and (int(values.min()) < least or int(values.max()) > most):
            wrong = values[(values < least) | (values > most)][0]
            raise UnusableArrayError(f"{name} holds {wrong}, outside {least}…{most}")
        return values.astype(np.int64)

    def data(self, name: str, *, longest: int) -> bytes:
        """An array uint8 [n] of at most `longest` bytes, as bytes.

        Raises:
            UnusableArrayError: there is none, or it is something else.
        """
        return self._array(name, "u", "bytes", [None], longest, itemsize=1).tobytes()

    def close(self) -> None:
        """Close the file."""
        self._archive.close()

    def __enter__(self) -> ArrayFile:
        """The open file, which the end of the block closes."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()

    def _array(
        self,
        name: str,
        kinds: str,
        wanted: str,
        shape: Sequence[int | None],
        longest: int,
        itemsize: int | None = None,
    ) -> NDArray[Any]:
        member = self._members.get(f"{name}.npy")
        if member is None:
            raise UnusableArrayError(f"{name} is missing")
        if member.flag_bits & _ENCRYPTED:
            raise UnusableArrayError(f"{name} is encrypted")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UnusableArrayError(f"{name} is compressed in a way that NumPy does not write")
        try:
            with self._archive.open(member) as stream:
                header = _read_header(cast(BinaryIO, stream), name)
                _check(name, header, kinds, wanted, shape, longest, itemsize)
                if member.file_size != header.length + header.size:
                    raise UnusableArrayError(
                        f"{name} has {member.file_size - header.length} bytes of numbers and "
                        f"its header says {header.size}"
                    )
                self._spend(name, header)
                data = stream.read(header.size)
        except _DAMAGE as error:
            raise UnusableArrayError(_reason(error)) from error
        if len(data) != header.size:
            raise UnusableArrayError(f"{name} is cut short")
        if not header.size:
            return np.zeros(header.shape, header.dtype)
        order: Literal["F", "C"] = "F" if header.fortran else "C"
        return np.frombuffer(data, header.dtype).reshape(header.shape, order=order)

    def _spend(self, name: str, header: _Header) -> None:
        """Take an array from the budget, counted as the caller gets it."""
        width = 1 if header.dtype.itemsize == 1 and len(header.shape) == 1 else 8
        self._budget -= math.prod(header.shape) * width
        if self._budget < 0:
            raise UnusableArrayError(f"with {name} it is larger than it can be")


_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,  # also NotImplementedError: a feature of ZIP that Python does not know
    OverflowError,
    struct.error,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
)
"""What reading a damaged archive raises."""


def _directory_bytes(path: Path) -> int:
    """How long an archive's list of parts claims to be; Python reads all of it to open one."""
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - _LONGEST_END))
        tail = stream.read()
    lengths = [0]
    for at in {len(tail) - 22, tail.rfind(b"PK\x05\x06")}:  # with a comment it ends earlier
        if at >= 0 and tail[at : at + 4] == b"PK\x05\x06":
            lengths += struct.unpack_from("<I", tail, at + 12)
            large = at - 76  # the record and the locator of ZIP64 stand before it
            if large >= 0 and tail[large : large + 4] == b"PK\x06\x06":
                lengths += struct.unpack_from("<Q", tail, large + 40)
    known = [length for length in lengths if length != 0xFFFFFFFF]
    return max(known)


def map_matrix(path: Path, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Map a .npy file that holds a float32 matrix of this shape, of numbers that a model can have.

    Raises:
        UnusableArrayError: it holds something else.
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        header = _read_header(stream, "it")
    if header.shape != shape or header.dtype != np.dtype("<f4") or header.fortran:
        raise UnusableArrayError(
            f"it is {header.dtype.name} {_named(header.shape)} instead of float32 {shape}"
        )
    size = path.stat().st_size
    if size != header.length + header.size:
        raise UnusableArrayError(f"it has {size} bytes instead of {header.length + header.size}")
    matrix = np.memmap(path, dtype="<f4", mode="r", offset=header.length, shape=shape)
    # Neither does NaN lie between two numbers.
    if not (matrix.min() >= -_LARGEST_WEIGHT and matrix.max() <= _LARGEST_WEIGHT):
        raise UnusableArrayError("it holds numbers that no model has, or what is no number")
    return np.asarray(matrix)


def _read_header(stream: BinaryIO, name: str) -> _Header:
    """Read up to where the numbers begin."""
    start = stream.read(8)
    if start[:6] != _MAGIC or start[6:] not in (b"\x01\x00", b"\x02\x00", b"\x03\x00"):
        raise UnusableArrayError(f"{name} is not an array")
    width = 2 if start[6] == 1 else 4
    length = int.from_bytes(stream.read(width), "little")
    if length > _LONGEST_HEADER:
        raise UnusableArrayError(f"{name} has a header of {length} bytes")
    found = _HEADER.fullmatch(stream.read(length))
    if found is None:
        raise UnusableArrayError(f"{name} is not an array of numbers")
    try:
        dtype = np.dtype(found[1].decode())
    except TypeError as error:
        raise UnusableArrayError(f"{name} is not an array of numbers") from error
    shape = tuple(int(size) for size in found[3].replace(b" ", b"").split(b",") if size)
    return _Header(dtype, shape, found[2] == b"True", len(start) + width + length)


def _check(
    name: str,
    header: _Header,
    kinds: str,
    wanted: str,
    shape: Sequence[int | None],
    longest: int,
    itemsize: int | None,
) -> None:
    """Compare a header with what is wanted."""
    dtype = header.dtype
    if dtype.kind not in kinds or itemsize not in (None, dtype.itemsize):
        raise UnusableArrayError(f"{name} holds {dtype.name} instead of {wanted}")
    fits = len(header.shape) == len(shape) and all(
        have == want if want is not None else have <= longest
        for have, want in zip(header.shape, shape, strict=True)
    )
    if not fits:
        sizes = ", ".join("any" if size is None else str(size) for size in shape)
        limit = f" with at most {longest} where any will do" if None in shape else ""
        raise UnusableArrayError(
            f"{name} has the shape {_named(header.shape)} instead of ({sizes}){limit}"
        )


def _named(shape: tuple[int, ...]) -> str:
    """A shape for a message, however many dimensions somebody gave it."""
    return str(shape) if len(shape) <= _NAMED_SHAPE else f"of {len(shape)} dimensions"


def _reason(error: Exception) -> str:
    """The first line of what a library says, or its kind if it says nothing."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, zlib.error):  # which speaks of its own algorithm
        return "its compressed data are damaged"
    return (str(error).splitlines() or [""])[0][:200].rstrip(".") or type(error).__name__
