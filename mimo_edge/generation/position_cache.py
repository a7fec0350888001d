"""The caches of all conversations, each with what is in it, so that only what is new is evaluated.

One KV cache of the backbone is shared by all. When it is full, conversations that nobody waits for
give room: what is cut from their end is evaluated again when they go on.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DoesNotFitError
from ..prompt.positions import Layout, Positions, concatenate
from ..stages.backbone import Backbone
from ..stages.backbone_context import BackboneOutput
from ..stages.patch_encoder import PatchEncoder

__all__ = ["CacheShelf", "New", "PositionCache"]

_MOST_RUNS = 64
"""Runs of positions that are counted one by one before they are joined."""
_CUT_AT_ONCE = 64
"""Positions by which an idle conversation is cut at least: else it would be cut at every step of
another one."""


class New(NamedTuple):
    """Positions that go into a cache next."""

    cache: PositionCache
    positions: Positions
    outputs: int
    """How many of the last of them need their output: 0 or 1."""


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

    def evaluate(self, work: Sequence[New]) -> None:
        """Put positions into caches; where an output is wanted, it is in `PositionCache.output`.

        There must be room for them: see `make_room`.

        Raises:
            MimoEdgeError: one is longer than the context or closed, or llama.cpp fails.
        """
        if not work:
            return
        with self.lock:
            for new in work:
                new.cache.begin()
            rows = self.embed(concatenate([new.positions for new in work]))
            ends = np.cumsum([len(new.positions) for new in work])[:-1]
            outputs = self.backbone.evaluate(
                [
                    (new.cache.sequence, part, new.outputs)
                    for new, part in zip(work, np.split(rows, ends), strict=True)
                ]
            )
            for new, output in zip(work, outputs, strict=True):
                new.cache.grown(new.positions, output[-1] if output else None)
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
                    victim.cut(max(0, len(victim) - max(lacking, _CUT_AT_ONCE)))
            if positions > context.free_cells:
                return False
            cache.sequence.number()  # so that nobody else gets the last one before
            return True

    def touch(self, cache: PositionCache) -> None:
        """A cache is used now."""
        self._uses += 1
        cache.used_at = self._uses

    def _free_a_sequence(self, cache: PositionCache, others: Iterable[PositionCache]) -> None:
        for victim in [*self._idle(cache), *others]:
            if victim is not cache and victim.sequence.has_number:
                victim.cut(0)
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


class PositionCache:
    """One sequence of the backbone that remembers its positions.

    After an exception anywhere (Ctrl-C, a full memory) the sequence may hold more than is
    remembered here, never less: what is forgotten is forgotten here first, what is new is
    remembered last, and before anything is added the sequence is cut to what is remembered.
    """

    def __init__(self, shelf: CacheShelf) -> None:
        """An empty cache on a shelf; see `CacheShelf.new_cache`."""
        self._shelf = shelf
        self.sequence = shelf.backbone.new_sequence()
        self._runs = [shelf.layout.text([])]
        self.output: BackboneOutput | None = None
        """Of the last position, if it is known."""
        self.evaluated = 0
        """Positions that went through the backbone since this cache was made."""
        self.in_use = False
        """Whether an answer is being made in it."""
        self.used_at = 0

    def __len__(self) -> int:
        """Positions in the cache."""
        return sum(map(len, self._runs))

    @property
    def room(self) -> int:
        """Positions by which the conversation can still grow."""
        return self._shelf.backbone.context - len(self)

    @property
    def positions(self) -> Positions:
        """What the cache holds."""
        with self._shelf.lock:
            if len(self._runs) > 1:
                self._runs = [concatenate(self._runs)]
            return self._runs[0]

    def aim_at(self, prompt: Positions) -> int:
        """Make ready to become exactly `prompt`: cut what differs; how many positions stay.

        Of a prompt that the cache holds already, its last position is evaluated again only if
        something came behind it meanwhile.

        Raises:
            MimoEdgeError: the prompt does not fit the context.
        """
        self._shelf.backbone.check_room(len(prompt))
        with self._shelf.lock:
            kept = self.keep_common(prompt)
            if kept == len(prompt) and self.output is None:
                kept -= 1
                self.cut(kept)
            return kept

    def prefill(self, prompt: Positions) -> tuple[BackboneOutput, int]:
        """Make the cache hold exactly `prompt`; (output of its last position, cached positions).

        Raises:
            MimoEdgeError: the prompt does not fit the context.
        """
        kept = self.aim_at(prompt)
        if kept < len(prompt):
            return self.append(prompt[kept:]), kept
        assert self.output is not None
        return self.output, kept

    def keep_common(self, prompt: Positions) -> int:
        """Forget all but the beginning that the cache has in common with `prompt`; its length."""
        with self._shelf.lock:
            common = self.positions.common_prefix(prompt)
            self.cut(common)
            return common

    def append(self, new: Positions) -> BackboneOutput:
        """Evaluate further positions, at least one; the output is that of the last one.

        Raises:
            MimoEdgeError: they do not fit.
        """
        with self._shelf.lock:
            self._shelf.backbone.check_room(len(self) + len(new))
            if not self._shelf.make_room(self, len(new)):
                raise DoesNotFitError(
                    f"{len(new)} positions more do not fit the cache beside the answers that run; "
                    "wait for one to end, or give a larger cache."
                )
            self._shelf.evaluate([New(self, new, 1)])
            assert self.output is not None
            return self.output

    def check_open(self) -> None:
        """Refuse a cache that was closed, or whose model was; see `BackboneSequence`."""
        self.sequence.check_open()

    def save(self) -> tuple[Positions, bytes | None]:
        """What the cache holds, and the cache itself as bytes, None if it is empty."""
        with self._shelf.lock:
            self.check_open()
            self.sequence.truncate(len(self))
            return self.positions, self.sequence.save() if len(self) else None

    def restore(self, data: bytes, positions: Positions) -> bool:
        """Put back what `save` gave; False if it does not fit, then the cache is empty."""
        with self._shelf.lock:
            self.cut(0)
            if len(positions) > self._shelf.backbone.context:
                return False
            if not self._shelf.make_room(self, len(positions)):
                return False
            restored = self.sequence.restore(data, len(positions))
            if restored:
                self._runs = [positions]
            return restored

    def close(self) -> None:
        """Forget it."""
        with self._shelf.lock:
            self.sequence.close()

    def cut(self, length: int) -> None:
        """Forget everything from position `length` on."""
        with self._shelf.lock:
            if length < len(self):
                self.output = None
                self._runs = [self.positions[:length]]
                self.sequence.truncate(length)

    def begin(self) -> None:
        """Make ready to evaluate more: the sequence holds what is remembered, and no more."""
        self.output = None
        self.check_open()
        self.sequence.truncate(len(self))

    def grown(self, new: Positions, output: BackboneOutput | None) -> None:
        """The sequence holds `new` now, with this output of its last position."""
        self._runs.append(new)
        if len(self._runs) > _MOST_RUNS:
            self._runs = [concatenate(self._runs)]
        self.evaluated += len(new)
        self.output = output
