"""What a checkpoint folder holds: its config, its tensors, the ids of its control tokens."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Tensors = dict[str, NDArray[Any]]

ADDED_WHEN_MISSING = (
    "<|sosp|>",
    "<|eosp|>",
    "<|empty|>",
    "<|Human|>",
    "<|SpeechLM|>",
    "<|sostm|>",
    "<|eostm|>",
    "<|eot|>",
)
"""MiMo-Audio's own control tokens; a tokenizer without one gets it at its end, in this order."""

_PLAIN = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "BOOL": "?"}


def load_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a checkpoint folder."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    return config


def load_tensors(folder: Path, dtype: DTypeLike = np.float32) -> Tensors:
    """Every floating point tensor of a checkpoint folder, one file or sharded, as `dtype`."""
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return dict(_read_file(folder / "model.safetensors", dtype))
    weight_map: dict[str, str] = json.loads(index.read_text("utf-8"))["weight_map"]
    tensors: Tensors = {}
    for shard in sorted(set(weight_map.values())):
        tensors.update(_read_file(folder / shard, dtype))
    if tensors.keys() != weight_map.keys():
        raise ValueError(f"{index} and its shards name different tensors")
    return tensors


def _read_file(path: Path, dtype: DTypeLike) -> Iterator[tuple[str, NDArray[Any]]]:
    """Tensors of one safetensors file: 8 bytes of length, a JSON header, the raw data."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        values = _decode(data[begin:end], entry["dtype"]).reshape(entry["shape"])
        yield name, values.astype(dtype)


def _decode(raw: bytes, dtype: str) -> NDArray[Any]:
    if dtype == "BF16":  # the upper half of a float32
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(raw, _PLAIN[dtype])


def special_tokens(folder: Path) -> dict[str, int]:
    """Text of every control token → its id, those included that have to be added."""
    added, size = _added_tokens(folder)
    for token in ADDED_WHEN_MISSING:
        if token not in added:
            added[token] = max(size, max(added.values(), default=-1) + 1)
    return added


def _added_tokens(folder: Path) -> tuple[dict[str, int], int]:
    """The added tokens and the size of the vocabulary without them."""
    fast = folder / "tokenizer.json"
    if fast.exists():
        tokenizer = json.loads(fast.read_text("utf-8"))
        added = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
        return added, len(tokenizer["model"]["vocab"])
    settings = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    entries = settings.get("added_tokens_decoder", {})
    added = {entry["content"]: int(number) for number, entry in entries.items()}
    return added, len(json.loads((folder / "vocab.json").read_text("utf-8")))
