"""How much memory a model needs of a machine, told from the sizes of its files."""

from __future__ import annotations

from dataclasses import dataclass

from ...bundle.manifest import OPTIONAL_PARTS, PART_FILES, Manifest
from .runtime_options import KvType

__all__ = ["KV_BYTES", "ModelSize", "memory_verdict", "size_of_bundle"]

KV_BYTES: dict[KvType, float] = {"f32": 4.0, "f16": 2.0, "q8_0": 34 / 32}
"""Bytes of a number in the KV cache."""
_WORK_BYTES, _LEAST_WORK_BYTES = 400e6, 40e6
"""Buffers of llama.cpp and onnxruntime beside weights and cache: of a model with `_LARGE_BYTES` of
weights and more, and of a very small one; measured, rounded up."""
_LARGE_BYTES = 4e9


@dataclass(frozen=True, kw_only=True)
class ModelSize:
    """How much a machine has to hold for a model."""

    weights: int
    """Bytes of all files, mapped into memory."""
    cached_values: int
    """Numbers in the KV cache per position."""

    def memory(self, kv_type: KvType, positions: int) -> dict[str, float]:
        """Bytes: weights (mapped from the files), KV cache, buffers.

        `kv_type` is that of the cache as it is made, which `RuntimeOptions.kv_type_for` says.
        """
        return {
            "weights": self.weights,
            "cache": self.cached_values * KV_BYTES[kv_type] * positions,
            "buffers": max(_LEAST_WORK_BYTES, _WORK_BYTES * min(1.0, self.weights / _LARGE_BYTES)),
        }


def size_of_bundle(manifest: Manifest) -> ModelSize:
    """What a machine has to hold of a bundle, from the sizes of its files."""
    # Of a stage that is there twice, one form is loaded, and both are about as large.
    twice = {name for part in OPTIONAL_PARTS for name in PART_FILES[part]}
    return ModelSize(
        weights=sum(file.size for file in manifest.files if file.name not in twice),
        cached_values=manifest.backbone.cached_values,
    )


def memory_verdict(needed: float, available: float, total: float) -> str:
    """In words whether so many bytes fit a machine with `available` of `total` bytes free."""
    if needed < available:
        return "fits"
    if needed < total:
        return "fits if other programs make room"
    return "does NOT fit: weights will be read from disk again and again"
