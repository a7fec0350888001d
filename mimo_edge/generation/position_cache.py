"""The KV cache together with what is in it, so that only what is new is evaluated."""

from __future__ import annotations

import threading
from typing import overload

import numpy as np
from numpy.typing import NDArray

from ..prompt.positions import Layout, Positions, concatenate
from ..stages.backbone import Backbone
from ..stages.backbone_sequence import BackboneOutput
from ..stages.patch_encoder import PatchEncoder

__all__ = ["PositionCache"]

_CANCEL_BATCH = 32
"""Positions between two looks at `cancel` in a prompt; on two cores of a laptop a second of the
7B model. A processor evaluates them about as fast as in larger batches."""


_MOST_RUNS = 64
"""Runs of positions that are counted one by one before they are joined."""


class PositionCache:
    """One sequence of the backbone that remembers its positions.

    After an exception anywhere (Ctrl-C, a full memory) the sequence may hold more than is
    remembered here, never less: what is forgotten is forgotten here first, what is new is
    remembered last, and before anything is added the sequence is cut to what is remembered.
    """

    def __init__(self, backbone: Backbone, patch_encoder: PatchEncoder, layout: Layout) -> None:
        self._backbone = backbone
        self._patch_encoder = patch_encoder
        self._layout = layout
        self._sequence = backbone.new_sequence()
        self._runs = [layout.text([])]
        self._output: BackboneOutput | None = None  # Of the last position, if it is known.
        self.evaluated = 0
        """Positions that went through the backbone since this cache was made."""

    def __len__(self) -> int:
        """Positions in the cache."""
        return sum(map(len, self._runs))

    @property
    def room(self) -> int:
        """Positions that still fit."""
        return self._sequence.context - len(self)

    @property
    def positions(self) -> Positions:
        """What the cache holds."""
        if len(self._runs) > 1:
            self._runs = [concatenate(self._runs)]
        return self._runs[0]

    @overload
    def prefill(self, prompt: Positions) -> tuple[BackboneOutput, int]: ...

    @overload
    def prefill(
        self, prompt: Positions, cancel: threading.Event | None
    ) -> tuple[BackboneOutput | None, int]: ...

    def prefill(
        self, prompt: Positions, cancel: threading.Event | None = None
    ) -> tuple[BackboneOutput | None, int]:
        """Make the cache hold exactly `prompt`; (output of its last position, cached positions).

        What the cache and the prompt have in common from the start on stays. Of a prompt that
        the cache holds already, its last position is evaluated again only if something came
        behind it meanwhile. With `cancel` set before the end the output is None, and the cache
        holds the part that was evaluated, for another prompt that begins alike.

        Raises:
            MimoEdgeError: the prompt does not fit the context.
        """
        self._sequence.check_room(len(prompt))
        kept = self.keep_common(prompt)
        if kept == len(prompt) and self._output is not None:
            return self._output, kept
        kept = min(kept, len(prompt) - 1)
        self._cut(kept)
        if cancel is not None:
            for start in range(kept, len(prompt) - 1, _CANCEL_BATCH):
                if cancel.is_set():
                    return None, kept
                self._feed(prompt[start : min(start + _CANCEL_BATCH, len(prompt) - 1)])
            if cancel.is_set():
                return None, kept
        return self.append(prompt[len(self) :]), kept

    def keep_common(self, prompt: Positions) -> int:
        """Forget all but the beginning that the cache has in common with `prompt`; its length."""
        common = self.positions.common_prefix(prompt)
        self._cut(common)
        return common

    def append(self, new: Positions) -> BackboneOutput:
        """Evaluate further positions, at least one; the output is that of the last one."""
        self._feed(new[:-1])
        last = new[-1:]
        rows = self._begin(last)
        output = self._sequence.extend(rows)
        self._grown(last)
        self._output = output
        return output

    def check_open(self) -> None:
        """Refuse a cache that was closed, or whose model was; see `BackboneSequence`."""
        self._sequence.check_open()

    def save(self) -> bytes:
        """The cache as bytes."""
        self._sequence.truncate(len(self))
        return self._sequence.save()

    def restore(self, data: bytes, positions: Positions) -> bool:
        """Put back what `save` gave; False if llama.cpp refuses it, then the cache is empty."""
        self._cut(0)
        restored = self._sequence.restore(data, len(positions))
        if restored:
            self._runs = [positions]
        return restored

    def close(self) -> None:
        """Free the cache."""
        self._sequence.close()

    def _cut(self, length: int) -> None:
        if length < len(self):
            self._output = None
            self._runs = [self.positions[:length]]
            self._sequence.truncate(length)

    def _feed(self, new: Positions) -> None:
        if len(new):
            self._sequence.feed(self._begin(new))
            self._grown(new)

    def _begin(self, new: Positions) -> NDArray[np.float32]:
        """Make ready to evaluate `new`: its embeddings [positions, hidden]."""
        self._output = None
        self._sequence.truncate(len(self))
        return self._embed(new)

    def _grown(self, new: Positions) -> None:
        """The sequence holds `new` now."""
        self._runs.append(new)
        if len(self._runs) > _MOST_RUNS:
            self._runs = [concatenate(self._runs)]
        self.evaluated += len(new)

    def _embed(self, positions: Positions) -> NDArray[np.float32]:
        """Input embeddings [positions, hidden] of text and patches."""
        is_patch = positions.text_ids == self._layout.empty_id
        rows = self._backbone.embed(positions.text_ids)
        if is_patch.any():
            rows[is_patch] = self._patch_encoder.encode(positions.codes[is_patch])
        return rows
