"""The patch encoder: RVQ codes of patches → backbone embeddings (report, section 4)."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..bundle.manifest import Manifest
from ..system.spare_cores import SpareCores
from .damage import check_numbers
from .graphs.graph import Graph
from .machine.placement import Placement
from .patch_encoder_gguf import PATCHES_AT_ONCE, GgufPatchEncoder

__all__ = ["PatchEncoder"]


class _Form(Protocol):
    """What computes it."""

    def embed(self, codes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Codes [patches, group, channels] of a few patches → embeddings [patches, hidden]."""

    def close(self) -> None:
        """Free it."""


class PatchEncoder:
    """One graph, or one GGUF; no state."""

    def __init__(self, form: _Form, hidden_size: int) -> None:
        self._form = form
        self._hidden_size = hidden_size

    @classmethod
    def load(
        cls,
        bundle: Path,
        manifest: Manifest,
        placement: Placement,
        spare_cores: SpareCores | None = None,
    ) -> PatchEncoder:
        """Load it from a bundle, in the form that `placement` says.

        A GGUF makes way for what `spare_cores` knows of.

        Raises:
            MimoEdgeError: it does not load, or does not fit the manifest or its contract.
        """
        form: _Form
        if placement.form == "gguf":
            spare_cores = spare_cores or SpareCores()
            form = GgufPatchEncoder.load(bundle, manifest, placement, spare_cores)
        else:
            form = _GraphForm(Graph.load(bundle, "patch_encoder", manifest, placement))
        return cls(form, manifest.backbone.hidden_size)

    def encode(self, patches: NDArray[np.int64]) -> NDArray[np.float32]:
        """Codes int64 [patches, group, channels] → embeddings float32 [patches, hidden]."""
        out = np.empty((len(patches), self._hidden_size), dtype=np.float32)
        for start in range(0, len(patches), PATCHES_AT_ONCE):
            part = slice(start, start + PATCHES_AT_ONCE)
            out[part] = self._form.embed(patches[part])
        check_numbers("patch encoder", out)
        return out

    def close(self) -> None:
        """Free it."""
        self._form.close()


class _GraphForm:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def embed(self, codes: NDArray[np.int64]) -> NDArray[np.float32]:
        embeddings: NDArray[np.float32] = self._graph.run({"codes": np.ascontiguousarray(codes)})[0]
        return embeddings

    def close(self) -> None:
        self._graph.close()
