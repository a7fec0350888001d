"""GGUF files that llama.cpp was not made for."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import gguf
import numpy as np

from .damage import damage, overwrite

__all__ = ["mutate_gguf"]

_WORDS = ("llama", "gpt2", "bert", "qwen2", "qwen3moe", "t5", "", "a" * 300, "\x1b[31m", "ä日")


def mutate_gguf(rng: Random, path: Path) -> tuple[bytes, str, int]:
    """Another content, what was done, and by how many bytes that moved the tensors."""
    reader = gguf.GGUFReader(path)
    data = path.read_bytes()
    end = reader.tensors[-1].field.offset + _bytes(reader.tensors[-1].field)
    head, tensors = data[:end], data[reader.data_offset :]
    how = rng.random()
    if how < 0.06:
        content, what = damage(rng, data)
    elif how < 0.14:
        content, what = _weights(rng, reader, data)
    else:
        mutate = rng.choice([_number, _number, _text, _text, _entry, _table, _table, _head])
        changed, what = mutate(rng, reader, head)
        while changed == head:
            changed, what = mutate(rng, reader, head)
        content = changed + bytes(-len(changed) % reader.alignment) + tensors
    return content, what, (len(content) - len(data) if len(content) > len(tensors) else 0)


def _bytes(field: gguf.ReaderField) -> int:
    return sum(int(part.nbytes) for part in field.parts)


def _place(field: gguf.ReaderField, index: int) -> int:
    """Where a part of a field begins in the file."""
    return int(field.offset) + sum(int(part.nbytes) for part in field.parts[:index])


def _other(rng: Random, value: Any) -> bytes:
    """Another number of the same type (a NumPy scalar)."""
    if value.dtype.kind == "f":
        number = rng.choice([0.0, -1.0, np.nan, np.inf, 1e30, 1e-30, float(value) * 2])
        return np.asarray(number, value.dtype).tobytes()
    if value.dtype.kind == "b":
        return bytes([rng.choice([0, 1, 2])])
    limits, old = np.iinfo(value.dtype), int(value)
    around = [0, 1, 2, limits.max, limits.min, limits.max // 2, old + 1, old - 1, old * 2, old // 2]
    number = rng.choice([n for n in around if limits.min <= n <= limits.max])
    return np.asarray(number, value.dtype).tobytes()


def _scalars(reader: gguf.GGUFReader) -> list[gguf.ReaderField]:
    return [f for f in reader.fields.values() if len(f.types) == 1]


def _number(rng: Random, reader: gguf.GGUFReader, head: bytes) -> tuple[bytes, str]:
    """Another value of one key, or of one element of a list of numbers."""
    strings = gguf.GGUFValueType.STRING
    field = rng.choice([f for f in reader.fields.values() if f.types[-1] != strings])
    index = rng.choice(field.data)
    new = _other(rng, field.parts[index][0])
    return overwrite(head, _place(field, index), new), f"{field.name} = {new.hex()}"


def _text(rng: Random, reader: gguf.GGUFReader, head: bytes) -> tuple[bytes, str]:
    """Another text of one key, or of one element of a list of texts."""
    strings = gguf.GGUFValueType.STRING
    field = rng.choice([f for f in reader.fields.values() if f.types[-1] == strings])
    index = rng.choice(field.data)
    start, old = _place(field, index - 1), bytes(field.parts[index])
    other = rng.choice(field.data)
    new = rng.choice([*(word.encode() for word in _WORDS), b"\xff\xfe", bytes(field.parts[other])])
    text = len(new).to_bytes(8, "little") + new
    return head[:start] + text + head[start + 8 + len(old) :], f"{field.name}: {old!r} → {new!r}"


def _entry(rng: Random, reader: gguf.GGUFReader, head: bytes) -> tuple[bytes, str]:
    """A key removed, twice, of another name or another type."""
    counts = reader.fields["GGUF.kv_count"]
    field = rng.choice([f for f in reader.fields.values() if not f.name.startswith("GGUF.")])
    start, end = field.offset, field.offset + _bytes(field)
    count = int(counts.parts[0][0])
    how = rng.choice(["removed", "twice", "type", "name"])
    if how == "type":
        new = rng.randrange(14).to_bytes(4, "little")
        return overwrite(head, _place(field, 2), new), f"{field.name}: type {new[0]}"
    if how == "name":
        return overwrite(head, _place(field, 1), b"x"), f"{field.name}: renamed"
    entry = head[start:end] * (2 if how == "twice" else 0)
    head = head[:start] + entry + head[end:]
    count += 1 if how == "twice" else -1
    return overwrite(head, counts.offset, count.to_bytes(8, "little")), f"{field.name}: {how}"


def _table(rng: Random, reader: gguf.GGUFReader, head: bytes) -> tuple[bytes, str]:
    """Another name, rank, size, type or place of one tensor."""
    tensor = rng.choice(reader.tensors)
    field = tensor.field
    index = rng.choice([0, 1, 2, 3, 4, 4, 5])
    part = field.parts[index]
    element = rng.randrange(len(part))
    new = _other(rng, part[element])
    if index == 4 and rng.random() < 0.7:
        new = rng.choice(list(gguf.GGMLQuantizationType)).to_bytes(4, "little")
    place = _place(field, index) + element * part.itemsize
    names = ("name's length", "name", "rank", "size", "type", "place")
    return overwrite(head, place, new), f"{tensor.name}: {names[index]} {new.hex()}"


def _head(rng: Random, reader: gguf.GGUFReader, head: bytes) -> tuple[bytes, str]:
    if rng.random() < 0.3:
        field = reader.fields[rng.choice(["GGUF.version", "GGUF.tensor_count", "GGUF.kv_count"])]
        new = _other(rng, field.parts[0][0])
        return overwrite(head, field.offset, new), f"{field.name} = {new.hex()}"
    return damage(rng, head, head=len(head))


def _weights(rng: Random, reader: gguf.GGUFReader, data: bytes) -> tuple[bytes, str]:
    """A tensor full of NaN, of zeros or of noise."""
    tensor = rng.choice(reader.tensors)
    size = int(tensor.n_bytes)
    filler = rng.choice([b"\xff" * size, bytes(size), rng.randbytes(size), b"\x7f" * size])
    changed = overwrite(data, tensor.data_offset, filler)
    return changed, f"{tensor.name}: weights {filler[:2].hex()}…"
