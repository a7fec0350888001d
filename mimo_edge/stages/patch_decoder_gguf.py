"""The steps of the patch decoder as a GGUF in llama.cpp: each patch is a sequence of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..bundle.manifest import PATCH_DECODER_GGUF, Manifest
from ..bundle.patch_gguf_check import check_patch_decoder
from ..system.spare_cores import SpareCores
from .llama.stack import PatchStack
from .machine.placement import Placement

__all__ = ["GgufSteps"]

_Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class GgufSteps:
    """Makes the steps of patches, as `PatchSteps` does with a graph.

    All of a step is one evaluation: llama.cpp builds its graph once and uses it for all steps, of
    this patch and of the next ones, as long as there are as many rows.
    """

    def __init__(self, stack: PatchStack) -> None:
        self._stack = stack

    @classmethod
    def load(
        cls, bundle: Path, manifest: Manifest, placement: Placement, spare_cores: SpareCores
    ) -> GgufSteps:
        """Load the GGUF of a bundle.

        Raises:
            MimoEdgeError: it does not load or does not fit the manifest.
        """
        path = bundle / PATCH_DECODER_GGUF
        shape = check_patch_decoder(path, manifest)
        return cls(PatchStack.load(path, shape, placement, spare_cores, at_once=1))

    @contextlib.contextmanager
    def begin(self, rows: int) -> Iterator[_Run]:
        """A function that makes the next step of `rows` new patches, again and again: inputs
        float32 [rows, local_dim] → logits float32 [rows, vocabulary], which the next step
        overwrites. Another thread that begins patches waits until these are made."""
        with self._stack.begin(rows) as evaluate:
            yield lambda x: evaluate(x[:, None])[:, 0]

    def close(self) -> None:
        """Free the GGUF."""
        self._stack.close()
