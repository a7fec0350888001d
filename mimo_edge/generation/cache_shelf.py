"""The caches of all conversations: what goes into them together, and who gives room to whom.

One KV cache of the backbone is shared by all. When it is full, conversations that nobody waits for
give room: what is cut from their end is evaluated again when they go on.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..prompt.positions import Layout, Positions, concatenate
from ..stages.backbone import Backbone
from ..stages.patch_encoder import PatchEncoder
from .position_cache import New, PositionCache

__all__ = ["CacheShelf"]

_CUT_AT_ONCE = 64
"""Positions by which an idle conversation is cut at least: else it would be cut at every step of
another one."""


class CacheShelf:
    """The caches of all conversations of a model. For several threads: one at a time is served."""

    def __init__(self, backbone: Backbone, patch_encoder: PatchEncoder, layout: Layout) -> None:
        self.layout = layout
        self.backbone = backbone
        self.lock = threading.RLock()
        self._patch_encoder = patch_encoder
        self._caches: weakref.WeakSet[PositionCache] = weakref.WeakSet()
        self._uses = 0

    def new_cache(self) -> PositionCache:
        """An empty cache.

        Raises:
            MimoEdgeError: there is not enough memory for it, or the model is closed.
        """
        with self.lock:
            cache = PositionCache(self)
            self._caches.add(cache)
            return cache

    def evaluate(self, work: Sequence[New], stop: Callable[[], bool] | None = None) -> None:
        """Put positions into caches; where an output is wanted, it is in `PositionCache.output`.
        There has to be some work.

        There must be room for them: see `make_room`. `stop` is asked now and then whether to give
        up, while positions without an output are evaluated; meanwhile other threads find the lock
        free, so that an answer can begin.

        Raises:
            EvaluationStopped: `stop` said so; the caches are as before.
            MimoEdgeError: one is longer than the context or closed, or llama.cpp fails.
        """
        with self.lock:
            for new in work:
                new.cache.begin()
            rows = self.embed(concatenate([new.positions for new in work]))
            ends = np.cumsum([len(new.positions) for new in work])[:-1]
        outputs = self.backbone.evaluate(
            [
                (new.cache.sequence, part, new.outputs)
                for new, part in zip(work, np.split(rows, ends), strict=True)
            ],
            logits=any(new.logits for new in work if new.outputs),
            stop=stop,
        )
        with self.lock:
            for new, output in zip(work, outputs, strict=True):
                new.cache.grown(new, output)
                self.touch(new.cache)

    def make_room(
        self, cache: PositionCache, positions: int, others: Iterable[PositionCache] = ()
    ) -> bool:
        """Whether so many positions fit behind what a cache holds, once other caches were cut.

        First those of conversations without a running answer are cut, the longest unused first;
        then `others` in their order.
        """
        with self.lock:
            context = self.backbone.opened()
            cache.sequence.check_open()
            if not cache.sequence.has_number and not context.free_sequences:
                self._free_a_sequence(cache, others)
            if not cache.sequence.has_number and not context.free_sequences:
                return False
            for victim in [*self._idle(cache), *others]:
                lacking = positions - context.free_cells
                if lacking <= 0:
                    break
                if victim is not cache:
                    victim.make_way(max(0, len(victim) - max(lacking, _CUT_AT_ONCE)))
            if positions > context.free_cells:
                return False
            cache.sequence.number()  # so that nobody else gets the last one before
            return True

    @property
    def room_for_guesses(self) -> int:
        """Positions that still fit, without a cut anywhere."""
        with self.lock:
            return self.backbone.opened().free_cells

    def touch(self, cache: PositionCache) -> None:
        """A cache is used now."""
        self._uses += 1
        cache.used_at = self._uses

    def _free_a_sequence(self, cache: PositionCache, others: Iterable[PositionCache]) -> None:
        for victim in [*self._idle(cache), *others]:
            if victim is not cache and victim.sequence.has_number:
                victim.make_way(0)
                return

    def _idle(self, but: PositionCache) -> list[PositionCache]:
        """Caches that nobody uses just now, the longest unused first."""
        idle = [cache for cache in self._caches if not cache.in_use and cache is not but]
        return sorted(idle, key=lambda cache: cache.used_at)

    def embed(self, positions: Positions) -> NDArray[np.float32]:
        """Input embeddings [positions, hidden] of text and patches."""
        is_patch = positions.text_ids == self.layout.empty_id
        hidden = self.backbone.config.hidden_size
        rows = np.empty((len(positions), hidden), dtype=np.float32)
        if is_patch.any():
            rows[is_patch] = self._patch_encoder.encode(positions.codes[is_patch])
        if not is_patch.all():  # rows of the table are dequantized, which takes its time
            rows[~is_patch] = self.backbone.embed(positions.text_ids[~is_patch])
        return rows
