"""Kinds of mutants of `.npz` files: saved sessions and codes."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .damage import damage, overwrite
from .mutant import QUICK, Mutant, World
from .npy_files import change_array, npy_bytes, npy_header
from .values import dump, edit_json

__all__ = ["foreign_codes", "foreign_session"]

_HEAD = "head"
"""The array of a session that holds JSON."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2)
_CENTRAL, _LOCAL = b"PK\x01\x02", b"PK\x03\x04"


def foreign_session(rng: Random, folder: Path, world: World) -> Mutant:
    """A saved conversation, changed, and a command that goes on with it."""
    content, what = _mutate(rng, world.session.read_bytes())
    (folder / "session.npz").write_bytes(content)
    on = ("--model", str(world.bundle), *QUICK)
    arguments = ("chat", "--load-session", "session.npz", "--input", str(world.clip), *on)
    extra = rng.choice([(), ("--text-only",), ("--save-session", "new.npz"), ("--output", "out")])
    return Mutant(
        arguments=(*arguments, *extra), what=what, content=content, may_make=("new.npz", "out")
    )


def foreign_codes(rng: Random, folder: Path, world: World) -> Mutant:
    """A file of codes, changed, to be decoded."""
    content, what = _mutate(rng, _shuffled(rng, world.codes.read_bytes()))
    (folder / "codes.npz").write_bytes(content)
    arguments = ("decode", "codes.npz", "-o", "x.wav", "--model", str(world.bundle), *QUICK[:2])
    return Mutant(arguments=arguments, what=what, content=content, may_make=("x.wav",))


def _shuffled(rng: Random, data: bytes) -> bytes:
    """A sound file of some of the steps in any order: codes that one clip does not have."""
    with np.load(io.BytesIO(data)) as file:
        arrays = dict(file)
    steps = len(arrays["codes"])
    chosen = rng.sample(range(steps), rng.randint(1, steps))
    return _zipped(arrays | {"codes": arrays["codes"][chosen]})


def _mutate(rng: Random, data: bytes) -> tuple[bytes, str]:
    with np.load(io.BytesIO(data)) as file:
        arrays = dict(file)
    name = rng.choice(sorted(arrays))
    how = rng.random()
    if how < 0.15:
        return damage(rng, data)
    if how < 0.25:
        return _zip_field(rng, data)
    if how < 0.35:
        methods = {f"{key}.npy": rng.choice(_METHODS) for key in arrays}
        return _zipped(arrays, methods=methods), f"recompressed: {methods}"
    if how < 0.45:
        return _odd_member(rng, arrays, name)
    if how < 0.52:
        kept = rng.sample(sorted(arrays), rng.randrange(len(arrays)))
        return _zipped({key: arrays[key] for key in kept}), f"only {kept}"
    if _HEAD in arrays and how < 0.75:
        head, what = edit_json(rng, json.loads(arrays[_HEAD].tobytes()))
        return _zipped(arrays | {_HEAD: np.frombuffer(dump(head), np.uint8)}), f"head {what}"
    if how < 0.8:
        other = rng.choice(sorted(arrays))
        arrays[name], arrays[other] = arrays[other], arrays[name]
        return _zipped(arrays), f"{name} and {other} swapped"
    changed, what = change_array(rng, arrays[name])
    return _zipped(arrays | {name: changed}), f"{name}: {what}"


def _zipped(
    arrays: dict[str, NDArray[Any]],
    *,
    methods: Mapping[str, int] | None = None,
    raw: Mapping[str, bytes] | None = None,
) -> bytes:
    """An archive of arrays, and of members that are none; the same bytes at any time of day."""
    file = io.BytesIO()
    members = {f"{name}.npy": npy_bytes(array) for name, array in arrays.items()}
    members |= raw or {}
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            # Without a date of its own a member gets the time at which it was written.
            method = (methods or {}).get(name, zipfile.ZIP_DEFLATED)
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=method)
    return file.getvalue()


def _odd_member(rng: Random, arrays: dict[str, NDArray[Any]], name: str) -> tuple[bytes, str]:
    """In the place of an array: a pickle, a claim of gigabytes, a bomb, text."""
    rest = {key: array for key, array in arrays.items() if key != name}
    bomb = bytes(40 << 20)
    odd = {
        "a pickle": npy_bytes(np.array([{"a": 1}], dtype=object)),
        "a huge claim": npy_header("<i8", (2**34, 8)) + bytes(64),
        "a bomb": npy_header("<i8", (len(bomb) // 64, 8)) + bomb,
        "text": b"hello",
        "nothing": b"",
        "no numbers": npy_bytes(np.array(["a", "b"])),
    }
    what = rng.choice(list(odd))
    if rng.random() < 0.2:  # beside them, under a name that nobody asks for
        return _zipped(arrays, raw={"junk": odd[what]}), f"{what} as well"
    return _zipped(rest, raw={f"{name}.npy": odd[what]}), f"{name}: {what}"


def _zip_field(rng: Random, data: bytes) -> tuple[bytes, str]:
    """Another flag, method, checksum or size of a member, as both its headers say it."""
    shift, width = rng.choice([(6, 2), (8, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2)])
    value = rng.choice([0, 1, 8, 12, 14, 0x41, 0x800, 99, 2**31, 2**32 - 1]) % 256**width
    new = value.to_bytes(width, "little")
    central = data.find(_CENTRAL)
    start = int.from_bytes(data[central + 42 : central + 46], "little")
    assert data[start : start + 4] == _LOCAL
    changed = overwrite(data, start + shift, new)
    return overwrite(changed, central + shift + 2, new), f"zip header {shift} = {value}"
