"""Kinds of mutants of a checkpoint: weights, configurations, text tokenizers."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from .damage import damage, overwrite
from .mutant import Mutant, World, link_folder
from .values import TEXTS, dump, edit_json

__all__ = ["foreign_config", "foreign_tokenizer", "foreign_weights"]

_WEIGHTS, _CONFIG = "model.safetensors", "config.json"


def foreign_weights(rng: Random, folder: Path, world: World) -> Mutant:
    """Tensors of other types, shapes, places and values, or in other files."""
    name, source = rng.choice([("model", world.model), ("tokenizer", world.tokenizer)])
    data = (source / _WEIGHTS).read_bytes()
    how = rng.random()
    if how < 0.4:
        content, what = _other_header(rng, data)
    elif how < 0.7:
        content, what = _other_values(rng, data)
    elif how < 0.8:
        content, what = damage(rng, data)
    elif how < 0.9:
        content, what = damage(rng, data, head=_header_size(data))
    else:
        return _shards(rng, folder, world, name, source)
    return _conversion(rng, folder, world, name, {_WEIGHTS: content}, f"{name}: {what}")


def foreign_config(rng: Random, folder: Path, world: World) -> Mutant:
    """A configuration with another value, or one that is no JSON."""
    name, source = rng.choice([("model", world.model), ("tokenizer", world.tokenizer)])
    data = (source / _CONFIG).read_bytes()
    if rng.random() < 0.1:
        content, what = damage(rng, data)
    elif rng.random() < 0.05:
        depth = rng.choice([100, 20_000])
        content, what = b'{"a":' + b"[" * depth + b"]" * depth + b"}", f"{depth} brackets"
    else:
        values, what = edit_json(rng, json.loads(data))
        content = dump(values)
    return _conversion(rng, folder, world, name, {_CONFIG: content}, f"{name}: {what}")


def foreign_tokenizer(rng: Random, folder: Path, world: World) -> Mutant:
    """A text tokenizer of other tokens, merges or settings, in either layout."""
    names = ["tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json"]
    name = rng.choice(names)
    # With tokenizer.json, vocab.json and merges.txt are not read.
    removed = ("tokenizer.json",) if name in names[1:3] or rng.random() < 0.2 else ()
    data = (world.model / name).read_bytes()
    if rng.random() < 0.1:
        content, what = damage(rng, data)
    elif name == "merges.txt":
        content, what = _other_merges(rng, data)
    else:
        values, what = edit_json(rng, json.loads(data))
        content = dump(values)
    files = {name: content}
    return _conversion(rng, folder, world, "model", files, f"{name}: {what}", removed)


def _conversion(
    rng: Random,
    folder: Path,
    world: World,
    name: str,
    files: dict[str, bytes],
    what: str,
    removed: tuple[str, ...] = (),
) -> Mutant:
    """Both checkpoints, one with other files, and the command that converts them."""
    for target, source in (("model", world.model), ("tokenizer", world.tokenizer)):
        changed = (*files, *removed) if target == name else ()
        link_folder(source, folder / target, *changed)
    for file, content in files.items():
        if file not in removed:
            (folder / name / file).write_bytes(content)
    recipe = "reference" if rng.random() < 0.9 else "small"  # that needs the quantizer
    checkpoints = ("--model", "model", "--tokenizer", "tokenizer")
    return Mutant(
        arguments=("convert", *checkpoints, "--out", "out", "--recipe", recipe, "--threads", "1"),
        what=what,
        content=b"".join(files.values()),
        may_make=("out",),
    )


def _header_size(data: bytes) -> int:
    return 8 + int.from_bytes(data[:8], "little")


def _header(data: bytes) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(data[8 : _header_size(data)])
    return header


def _joined(header: Any, tensors: bytes) -> bytes:
    text = dump(header)
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + tensors


def _other_header(rng: Random, data: bytes) -> tuple[bytes, str]:
    tensors = data[_header_size(data) :]
    if rng.random() < 0.15:
        length = rng.choice([0, 1, 2**31, 2**40, 2**63, _header_size(data) - 9, len(data)])
        return overwrite(data, 0, length.to_bytes(8, "little")), f"header of {length} bytes"
    header, what = edit_json(rng, _header(data))
    return _joined(header, tensors), what


def _other_values(rng: Random, data: bytes) -> tuple[bytes, str]:
    """One tensor of NaN, infinities, zeros or noise, or one NaN in it."""
    header = _header(data)
    name = rng.choice([name for name in header if name != "__metadata__"])
    begin, end = (_header_size(data) + offset for offset in header[name]["data_offsets"])
    bits = 0x7FC07FC0 if header[name]["dtype"] in ("F32", "BF16") else 0x7E007E00
    nan, size = np.uint32(bits).tobytes(), end - begin
    filler, what = rng.choice(
        [
            (nan * (size // 4), "NaN"),
            (b"\xff" * size, "0xff"),
            (bytes(size), "zeros"),
            (b"\x7f" * size, "large numbers"),
            (rng.randbytes(size), "noise"),
            (nan[: min(4, size)], "one NaN"),
        ]
    )
    return overwrite(data, begin, filler), f"{name}: {what}"


def _shards(rng: Random, folder: Path, world: World, name: str, source: Path) -> Mutant:
    """The weights in two files, with an index that is wrong somewhere."""
    data = (source / _WEIGHTS).read_bytes()
    header, tensors = _header(data), data[_header_size(data) :]
    files: dict[str, bytes] = {}
    weight_map: dict[str, str] = {}
    keys = [key for key in header if key != "__metadata__"]
    for number in range(2):
        part: dict[str, Any] = {}
        body = b""
        for key in keys[number::2]:
            begin, end = header[key]["data_offsets"]
            part[key] = header[key] | {"data_offsets": [len(body), len(body) + end - begin]}
            body += tensors[begin:end]
        files[f"part-{number}.safetensors"] = _joined(part, body)
        weight_map |= dict.fromkeys(part, f"part-{number}.safetensors")
    values, what = edit_json(rng, {"metadata": {"total_size": 1}, "weight_map": weight_map})
    files[f"{_WEIGHTS}.index.json"] = dump(values)
    mutant = _conversion(rng, folder, world, name, files, f"{name}: index {what}", (_WEIGHTS,))
    return mutant


def _other_merges(rng: Random, data: bytes) -> tuple[bytes, str]:
    lines = data.decode().split("\n")
    place = rng.randrange(len(lines))
    how = rng.choice(["removed", "twice", "cut", "swapped", "other"])
    if how == "removed":
        lines[place:] = lines[place + rng.choice([1, 1, len(lines)]) :]
    elif how == "twice":
        lines.insert(place, lines[place])
    elif how == "cut":
        lines[place] = lines[place][: rng.choice([1, 2])] + "x"
    elif how == "swapped":
        lines[place], lines[place - 1] = lines[place - 1], lines[place]
    else:
        lines[place] = rng.choice([text for text in TEXTS if text != "\ud800"])
    return "\n".join(lines).encode(), f"line {place} {how}"
