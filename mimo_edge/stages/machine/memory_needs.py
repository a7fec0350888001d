"""What a model, a conversation and an answer take of the memory, and whether it is there."""

from __future__ import annotations

from dataclasses import dataclass

from ...bundle.manifest import OPTIONAL_PARTS, PART_FILES, Manifest
from ...system.memory import check_memory
from .gpu import chosen_gpus, gpu_layers
from .machine_needs import size_of_bundle
from .measured import read_measured
from .patch_place import patch_form
from .runtime_options import RuntimeOptions

__all__ = ["MemoryNeeds"]

_STACK_BYTES = 10e6
"""Addresses that a thread takes: its stack, and a little."""
_HEAP_BYTES = 128e6
"""Addresses that glibc reserves for a moment when a thread first asks for memory, twice 64 MB, of
which it keeps the half. Where there are fewer it does without, but what is left may be too little
for the stack of the next thread then, and OpenMP ends the process when it cannot make one."""
_POOLS = 6
"""Groups of threads: llama.cpp's, and one for each graph."""
_LIBRARY_BYTES = 150e6
"""Addresses that the libraries take at their first use, for heaps of their threads above all."""
_STACK_FILES = {name for part in OPTIONAL_PARTS for name in PART_FILES[part]}
_STEP_BYTES = 32e6
"""Of the many small buffers of an answer or of an encoding, that nothing asks for by name."""


@dataclass(frozen=True, kw_only=True)
class MemoryNeeds:
    """Bytes; each check raises MimoEdgeError if there are not so many."""

    mapped: float
    """Weights, which take addresses, and memory only as far as there is some."""
    repacked: float
    """Weights that are read into memory of this process, for an integrated GPU or to be laid out
    anew."""
    cache: float
    buffers: float
    threads: int
    positions: int
    """Of the cache that all conversations share."""

    @classmethod
    def of(
        cls, manifest: Manifest, options: RuntimeOptions, threads: int, *, repack: bool
    ) -> MemoryNeeds:
        """Of a bundle under these options; `repack` is what was decided (`repacks`)."""
        positions = options.cache_for(manifest.backbone)
        need = size_of_bundle(manifest).memory(options.kv_type_for(manifest.backbone), positions)
        used = chosen_gpus(options) if gpu_layers(options) else []
        # A GPU without memory of its own fills the machine's.
        copied = any(gpu.shares_memory and not gpu.maps_files for gpu in used)
        repacked = manifest.backbone_bytes if repack or copied else 0
        if repack and patch_form(manifest, options, read_measured(manifest)) == "gguf":
            repacked += sum(f.size for f in manifest.files if f.name in _STACK_FILES)
        return cls(
            mapped=need["weights"] - repacked,
            repacked=repacked,
            cache=0 if used and not any(gpu.shares_memory for gpu in used) else need["cache"],
            buffers=need["buffers"],
            threads=threads,
            positions=positions,
        )

    def check_model(self) -> None:
        """Before anything is loaded: the model and its cache."""
        check_memory(
            f"this model and a context of {self.positions} positions",
            self.repacked + self.cache + self.buffers,
            mapped=self.mapped + _LIBRARY_BYTES + _POOLS * self._stacks,
        )

    def check_calm(self) -> None:
        """Whether nothing would ever have to be read from the disk again, mapped weights too."""
        check_memory(
            "this model with all of its weights at once",
            self.repacked + self.mapped + self.cache + self.buffers,
        )

    def check_cache(self) -> None:
        """Before the cache is allocated."""
        check_memory(
            f"a context of {self.positions} positions",
            self.cache + self.buffers,
            mapped=self._stacks,
        )

    def check_step(self) -> None:
        """Before an answer or an encoding.

        Whoever computes for the first time in a thread brings its team of OpenMP's threads to life,
        and a prompt is evaluated in a thread beside the one that waits for it.
        """
        new_threads = 1 + 2 * (self.threads - 1)
        check_memory(
            "a step of this model",
            _STEP_BYTES,
            mapped=new_threads * (_STACK_BYTES + _HEAP_BYTES),
        )

    @property
    def _stacks(self) -> float:
        return _STACK_BYTES * self.threads
