"""What a model needs of a machine: memory, disk, and seconds for a second of speech.

Speaking is bound by the memory's speed: every token and patch reads the backbone once, every
patch the patch decoder once per step. So the time can be told from sizes and one quick
measurement, before the model is even there. That is an estimate: `mimo-edge bench` measures.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..bundle.manifest import BACKBONE_FILE, Manifest
from ..bundle.number_types import row_bytes
from .runtime_options import RuntimeOptions

__all__ = ["TOKENS_PER_SECOND", "ModelSize", "memory_verdict", "size_of_bundle", "speed_verdict"]

_KV_BYTES = {"f32": 4.0, "f16": 2.0, "q8_0": 34 / 32}
_WORK_BYTES, _LEAST_WORK_BYTES = 400e6, 40e6
"""Buffers of llama.cpp and onnxruntime beside weights and cache: of a model with `_LARGE_BYTES` of
weights and more, and of a very small one; measured, rounded up."""
_LARGE_BYTES = 4e9
TOKENS_PER_SECOND = 3.75
"""Text tokens that go with a second of speech; each reads the backbone like a patch."""
_BACKBONE_SHARE, _PATCH_SHARE = 0.9, 0.63
"""How much of the memory's speed each stage reached where it was measured (README, Hardware)."""
_BESIDE_SOUND = 1.05
"""How much longer generating takes while its sound is decoded; measured at full size."""
_CALM_REAL_TIME = 0.8
"""Above it a busy machine falters."""
_CACHED_BYTES = 1 << 28
"""Smaller models largely stay in the processor's caches: the memory's speed says nothing."""


@dataclass(frozen=True, kw_only=True)
class ModelSize:
    """How much a machine has to hold for a model, and to read while the model speaks."""

    weights: int
    """Bytes of all files, mapped into memory."""
    per_position: int
    """Bytes of the backbone that one text token or one patch reads."""
    per_patch: int
    """Bytes of the patch encoder and of all steps of the patch decoder that one patch reads."""
    patches_per_second: float
    """Patches in a second of speech."""
    cached_values: int
    """Numbers in the KV cache per position."""

    def memory(self, options: RuntimeOptions, positions: int) -> dict[str, float]:
        """Bytes: weights (mapped from the files), KV cache, buffers."""
        return {
            "weights": self.weights,
            "cache": self.cached_values * _KV_BYTES[options.kv_type] * positions,
            "buffers": max(_LEAST_WORK_BYTES, _WORK_BYTES * min(1.0, self.weights / _LARGE_BYTES)),
        }

    def bytes_per_second_of_speech(self, *, backbone_on_gpu: bool = False) -> float:
        """What the processor reads from memory for a second of speech."""
        backbone, patches = self._read(backbone_on_gpu)
        return backbone + patches

    def seconds_per_second_of_speech(
        self,
        bandwidth: float,
        *,
        patch_bandwidth: float | None = None,
        backbone_on_gpu: bool = False,
    ) -> float | None:
        """About how long a second of speech takes where memory gives `bandwidth` bytes/s.

        `patch_bandwidth` is what it gives to the few threads of the patch decoder, if less. Below
        1 is real time. None: the model is so small that memory is not what limits it. A backbone
        on a GPU is taken to cost nothing, and is not read from this memory.
        """
        if self.weights < _CACHED_BYTES:
            return None
        backbone, patches = self._read(backbone_on_gpu)
        reading = backbone / _BACKBONE_SHARE / bandwidth
        reading += patches / _PATCH_SHARE / min(bandwidth, patch_bandwidth or bandwidth)
        return _BESIDE_SOUND * reading

    def _read(self, backbone_on_gpu: bool) -> tuple[float, float]:
        positions = 0 if backbone_on_gpu else self.patches_per_second + TOKENS_PER_SECOND
        return positions * self.per_position, self.patches_per_second * self.per_patch


def size_of_bundle(manifest: Manifest) -> ModelSize:
    """What a machine has to hold and to read of a bundle, from the sizes of its files.

    Of one that only listens, nothing is read for the patch decoder, which it lacks.
    """
    audio, patch, backbone = manifest.audio, manifest.patch, manifest.backbone
    size = {file.name: file.size for file in manifest.files}
    decoder, encoder = (
        size.get(f"{name}.onnx.data", 0) for name in ("patch_decoder", "patch_encoder")
    )
    return ModelSize(
        weights=sum(size.values()),
        per_position=size[BACKBONE_FILE] - backbone.vocab_size * row_bytes(backbone),
        per_patch=decoder * patch.decode_steps + encoder,
        patches_per_second=audio.sample_rate / audio.samples_per_step / patch.group_size,
        cached_values=backbone.cached_values,
    )


def speed_verdict(seconds: float) -> str:
    """In words what so many seconds per second of speech mean for whoever listens."""
    if seconds < _CALM_REAL_TIME:
        return "real time"
    if seconds <= 1:
        return "real time, just"
    return f"{seconds:.1f} times slower"


def memory_verdict(needed: float, available: float, total: float) -> str:
    """In words whether so many bytes fit a machine with `available` of `total` bytes free."""
    if needed < available:
        return "fits"
    if needed < total:
        return "fits if other programs make room"
    return "does NOT fit: weights will be read from disk again and again"
