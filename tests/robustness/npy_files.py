"""NumPy files of other arrays, and of none."""

from __future__ import annotations

import io
import zipfile
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .damage import damage

__all__ = ["change_array", "mutate_npy", "npy_bytes", "npy_header"]

_SHAPES: tuple[object, ...] = (
    *((), (0,), (-1,), (1,), (2**31,), (2**62,), (10**21,), (-5, 3), (0, 0), (True, True)),
    *((1,) * 33, (2, 2**62), "ab", None, (1.5, 2), [3, 4]),
)
_TYPES: tuple[object, ...] = (
    *("<f8", "<f2", ">f4", "<i8", "<u1", "|b1", "|O", "<U4", "|S3", "<c8", "<M8[s]", "|V8"),
    *("<f4096", "x", 3, None, [("a", "<f4"), ("b", "<i2")]),
)


def npy_bytes(array: NDArray[Any]) -> bytes:
    """A `.npy` file."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npy_header(descr: object, shape: object, order: object = False) -> bytes:
    """Magic, version and a header that says so, however wrong it is."""
    text = f"{{'descr': {descr!r}, 'fortran_order': {order!r}, 'shape': {shape!r}, }}"
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def mutate_npy(rng: Random, data: bytes) -> tuple[bytes, str]:
    """Another file and what was done."""
    array = np.load(io.BytesIO(data))
    how = rng.random()
    if how < 0.3:
        shape, descr = rng.choice([array.shape, *_SHAPES]), rng.choice(["<f4", *_TYPES])
        order = rng.choice([False, False, True, "x"])
        return npy_header(descr, shape, order) + array.tobytes(), f"{descr!r} {shape!r} {order!r}"
    if how < 0.4:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            name = rng.choice(["a.npy", "code_embeddings.npy", "x"])
            archive.writestr(zipfile.ZipInfo(name), data)  # with a date that is always the same
        return file.getvalue(), "a zip file"
    if how < 0.7:
        changed, what = change_array(rng, array)
        return npy_bytes(changed), what
    return damage(rng, data, head=rng.choice([128, None]))


def change_array(rng: Random, array: NDArray[Any]) -> tuple[NDArray[Any], str]:
    """Another type, shape or other values."""
    how = rng.choice(["type", "shape", "values", "values"])
    if how == "type" or not array.size:
        new = rng.choice(["<f8", "<f4", "<f2", "<i8", "<i2", "<u1", "|b1", "<U4", "<c8", ">i4"])
        with np.errstate(all="ignore"):
            return array.astype(new), f"as {new}"
    if how == "shape":
        shapes = [array.reshape(-1), array[None], array[..., None], np.asarray(array.flat[0])]
        if array.ndim:
            shapes += [array[:0], array[:1], array.T, np.concatenate([array, array])]
        if array.ndim > 1:
            shapes += [array[:, :-1], array[:, :0], array[:, ::-1]]
        changed = rng.choice(shapes)
        return changed, f"shape {array.shape} → {changed.shape}"
    return _other_values(rng, array)


def _other_values(rng: Random, array: NDArray[Any]) -> tuple[NDArray[Any], str]:
    changed = array.copy()
    if array.dtype.kind == "f":
        value: Any = rng.choice([np.nan, np.inf, -np.inf, 1e30, 3e38, 0.0])
    else:
        limits = np.iinfo(array.dtype)
        value = rng.choice([limits.max, limits.min, 0, limits.max // 2, 1, limits.max // 3])
    count = rng.choice([1, 1, array.size])
    for place in [rng.randrange(array.size)] if count == 1 else [slice(None)]:
        changed.reshape(-1)[place] = value
    return changed, f"{count} values {value}"
