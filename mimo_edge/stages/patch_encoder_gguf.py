"""The patch encoder as a GGUF in llama.cpp.

Every patch is a sequence of its own, whose positions attend to each other in both directions. The
projection to the backbone, which takes the outputs of all positions side by side, is cut into one
piece for each position. llama.cpp has them as a head of all pieces one below the other: of what it
says at a position, its own piece counts, and the embedding is the sum of these. The others are
computed for nothing, which costs little where the weights are read once for all.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..bundle.manifest import PATCH_EMBEDDINGS_FILE, PATCH_ENCODER_GGUF, Manifest, PatchConfig
from ..bundle.patch_gguf_check import check_patch_encoder
from ..system.spare_cores import SpareCores
from .llama.stack import PatchStack
from .machine.placement import Placement
from .matrices import load_matrix

__all__ = ["PATCHES_AT_ONCE", "GgufPatchEncoder"]

PATCHES_AT_ONCE = 64
"""Bounds the memory of a long recording; more at once is hardly faster."""


class GgufPatchEncoder:
    """The GGUF, and the table of code embeddings that makes its inputs."""

    def __init__(
        self, stack: PatchStack, embeddings: NDArray[np.float32], patch: PatchConfig, hidden: int
    ) -> None:
        """`embeddings` is [sum of the codebooks' vocabularies, width]."""
        self._stack = stack
        self._embeddings = embeddings
        self._first_rows = np.concatenate([[0], np.cumsum(patch.vocab_sizes)[:-1]])
        self._hidden = hidden

    @classmethod
    def load(
        cls, bundle: Path, manifest: Manifest, placement: Placement, spare_cores: SpareCores
    ) -> GgufPatchEncoder:
        """Load the GGUF of a bundle.

        Raises:
            MimoEdgeError: something does not load or does not fit the manifest.
        """
        path = bundle / PATCH_ENCODER_GGUF
        shape = check_patch_encoder(path, manifest)
        rows = sum(manifest.patch.vocab_sizes)
        embeddings = load_matrix(bundle / PATCH_EMBEDDINGS_FILE, (rows, shape.width))
        group = manifest.patch.group_size
        stack = PatchStack.load(path, shape, placement, spare_cores, at_once=group)
        return cls(stack, embeddings, manifest.patch, manifest.backbone.hidden_size)

    def embed(self, codes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Codes int64 [patches, group, channels] → embeddings float32 [patches, hidden]."""
        rows = self._embeddings[codes + self._first_rows].sum(axis=2)
        patches, group, _ = codes.shape
        with self._stack.begin(patches) as evaluate:
            pieces = evaluate(rows).reshape(patches, group, group, self._hidden)
            steps = np.arange(group)
            embeddings: NDArray[np.float32] = pieces[:, steps, steps].sum(axis=1)
        return embeddings

    def close(self) -> None:
        """Free it."""
        self._stack.close()
