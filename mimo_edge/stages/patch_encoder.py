"""The patch encoder: RVQ codes of patches → backbone embeddings (report, section 4)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..bundle.manifest import Manifest
from .damage import check_numbers
from .graphs import Graph
from .placement import Placement

__all__ = ["PatchEncoder"]

_PATCHES_AT_ONCE = 64
"""Bounds the memory of a long recording; more at once is hardly faster."""


class PatchEncoder:
    """One graph; no state."""

    def __init__(self, graph: Graph, hidden_size: int) -> None:
        self._graph = graph
        self._hidden_size = hidden_size

    @classmethod
    def load(cls, bundle: Path, manifest: Manifest, placement: Placement) -> PatchEncoder:
        """Load the graph of a bundle.

        Raises:
            MimoEdgeError: it does not load or does not fulfil its contract.
        """
        graph = Graph.load(bundle, "patch_encoder", manifest, placement)
        return cls(graph, manifest.backbone.hidden_size)

    def encode(self, patches: NDArray[np.int64]) -> NDArray[np.float32]:
        """Codes int64 [patches, group, channels] → embeddings float32 [patches, hidden]."""
        out = np.empty((len(patches), self._hidden_size), dtype=np.float32)
        for start in range(0, len(patches), _PATCHES_AT_ONCE):
            part = slice(start, start + _PATCHES_AT_ONCE)
            out[part] = self._graph.run({"codes": np.ascontiguousarray(patches[part])})[0]
        check_numbers("patch encoder", out)
        return out

    def close(self) -> None:
        """Free the graph."""
        self._graph.close()
