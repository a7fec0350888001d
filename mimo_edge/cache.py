"""The KV cache together with what is in it, so that only what is new is evaluated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .backbone import Backbone, BackboneOutput
from .patch_encoder import PatchEncoder
from .patches import Layout, Positions, concatenate

__all__ = ["PositionCache"]


class PositionCache:
    """One sequence of the backbone that remembers its positions."""

    def __init__(self, backbone: Backbone, patch_encoder: PatchEncoder, layout: Layout) -> None:
        self._backbone = backbone
        self._patch_encoder = patch_encoder
        self._layout = layout
        self._sequence = backbone.new_sequence()
        self._runs = [layout.text([])]
        self.evaluated = 0
        """Positions that went through the backbone since this cache was made."""

    @property
    def room(self) -> int:
        """Positions that still fit."""
        return self._sequence.context - self._sequence.length

    @property
    def positions(self) -> Positions:
        """What the cache holds."""
        if len(self._runs) > 1:
            self._runs = [concatenate(self._runs)]
        return self._runs[0]

    def prefill(self, prompt: Positions) -> tuple[BackboneOutput, int]:
        """Make the cache hold exactly `prompt`; (output of its last position, cached positions).

        What the cache and the prompt have in common from the start on stays; the last
        position is evaluated in any case, for its output.

        Raises:
            MimoEdgeError: the prompt does not fit the context.
        """
        kept = min(self.positions.common_prefix(prompt), len(prompt) - 1)
        self._cut(kept)
        return self.append(prompt[kept:]), kept

    def append(self, new: Positions) -> BackboneOutput:
        """Evaluate further positions; the output is that of the last one."""
        try:
            output = self._sequence.extend(self._embed(new))
        except BaseException:
            # Ctrl-C or a full memory between two batches: forget the first of them.
            self._sequence.truncate(len(self.positions))
            raise
        self._runs.append(new)
        self.evaluated += len(new)
        return output

    def save(self) -> bytes:
        """The cache as bytes."""
        return self._sequence.save()

    def restore(self, data: bytes, positions: Positions) -> bool:
        """Put back what `save` gave; False if llama.cpp refuses it, then the cache is empty."""
        restored = self._sequence.restore(data, len(positions))
        self._runs = [positions if restored else self._layout.text([])]
        return restored

    def close(self) -> None:
        """Free the cache."""
        self._sequence.close()

    def _cut(self, length: int) -> None:
        self._sequence.truncate(length)
        self._runs = [self.positions[:length]]

    def _embed(self, positions: Positions) -> NDArray[np.float32]:
        """Input embeddings [positions, hidden] of text and patches."""
        is_patch = positions.text_ids == self._layout.empty_id
        rows = self._backbone.embed(positions.text_ids)
        if is_patch.any():
            rows[is_patch] = self._patch_encoder.encode(positions.codes[is_patch])
        return rows
