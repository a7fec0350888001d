"""Random values for tensors and the safetensors files they are streamed to."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from .random_tensors import Floats, TensorSpec

__all__ = ["FreshNoise", "Noise", "RepeatedNoise", "write_tensors"]

ITEM_SIZES = {"F32": 4, "F16": 2, "BF16": 2}
_BLOCK = 1 << 20  # values


class FreshNoise:
    """Values that depend on the seed and the tensor's name only, never on their neighbours."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def blocks(self, spec: TensorSpec, dtype: str) -> Iterator[bytes]:
        """The tensor's bytes, about a million values at a time."""
        generator = np.random.default_rng([self.seed, zlib.crc32(spec.name.encode())])
        row = prod(spec.shape[1:])
        step = max(1, _BLOCK // row)
        for first in range(0, spec.shape[0], step):
            count = min(step, spec.shape[0] - first)
            values = generator.standard_normal((count, row), np.float32)
            values = values * np.float32(spec.std) + np.float32(spec.mean)
            for index, scale in spec.row_scales.items():
                if first <= index < first + count:
                    values[index - first] *= scale
            yield _to_bytes(values, dtype)


class RepeatedNoise:
    """One block over and over, each tensor from its own offset: as fast as the disk."""

    # Prime, so that the rows of a tensor are not copies of each other.
    _LENGTH = 2_097_143

    def __init__(self, seed: int) -> None:
        generator = np.random.default_rng(seed)
        self._noise = generator.standard_normal(self._LENGTH, np.float32)
        self._cache: dict[tuple[str, float, float], bytes] = {}
        self._fresh = FreshNoise(seed)

    def blocks(self, spec: TensorSpec, dtype: str) -> Iterator[memoryview | bytes]:
        """The tensor's bytes, about two million values at a time."""
        if spec.row_scales:
            yield from self._fresh.blocks(spec, dtype)
            return
        key = (dtype, spec.mean, spec.std)
        if key not in self._cache:
            values = self._noise * np.float32(spec.std) + np.float32(spec.mean)
            self._cache[key] = _to_bytes(values, dtype)
        view = memoryview(self._cache[key])
        start = zlib.crc32(spec.name.encode()) % self._LENGTH * ITEM_SIZES[dtype]
        left = prod(spec.shape) * ITEM_SIZES[dtype]
        while left:
            piece = view[start : start + left]
            yield piece
            left -= len(piece)
            start = 0


def _to_bytes(values: Floats, dtype: str) -> bytes:
    if dtype == "F32":
        return values.astype("<f4").tobytes()
    if dtype == "F16":
        return values.astype("<f2").tobytes()
    bits = values.view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (rounded >> np.uint32(16)).astype("<u2").tobytes()


Noise = FreshNoise | RepeatedNoise


def write_tensors(
    folder: Path,
    specs: Sequence[TensorSpec],
    dtype: str,
    noise: Noise,
    shard_bytes: int | None = None,
) -> None:
    """`model.safetensors`, or with `shard_bytes` shards of at most that and their index."""
    if shard_bytes is None:
        _write_file(folder / "model.safetensors", specs, dtype, noise)
        return
    shards = _split(specs, dtype, shard_bytes)
    weight_map = {}
    for number, shard in enumerate(shards, start=1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        _write_file(folder / name, shard, dtype, noise)
        weight_map.update({spec.name: name for spec in shard})
    total = sum(_byte_size(spec, dtype) for spec in specs)
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2), "utf-8")


def _write_file(path: Path, specs: Sequence[TensorSpec], dtype: str, noise: Noise) -> None:
    specs = sorted(specs, key=lambda spec: spec.name)  # as the safetensors library writes them
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for spec in specs:
        end = offset + _byte_size(spec, dtype)
        offsets = [offset, end]
        header[spec.name] = {"dtype": dtype, "shape": list(spec.shape), "data_offsets": offsets}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the data starts at a multiple of 8
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for spec in specs:
            if spec.values is not None:
                file.write(_to_bytes(spec.values, dtype))
                continue
            for block in noise.blocks(spec, dtype):
                file.write(block)


def _byte_size(spec: TensorSpec, dtype: str) -> int:
    return prod(spec.shape) * ITEM_SIZES[dtype]


def _split(specs: Sequence[TensorSpec], dtype: str, limit: int) -> list[list[TensorSpec]]:
    shards: list[list[TensorSpec]] = [[]]
    filled = 0
    for spec in specs:
        size = _byte_size(spec, dtype)
        if shards[-1] and filled + size > limit:
            shards.append([])
            filled = 0
        shards[-1].append(spec)
        filled += size
    return shards
