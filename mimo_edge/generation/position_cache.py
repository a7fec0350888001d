"""The cache of one conversation, with what is in it, so that only what is new is evaluated."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DoesNotFitError
from ..prompt.positions import Positions, concatenate
from ..stages.llama.batch import BackboneOutput

if TYPE_CHECKING:
    from .cache_shelf import CacheShelf

__all__ = ["New", "PositionCache"]

_MOST_RUNS = 64
"""Runs of positions that are counted one by one before they are joined."""


class New(NamedTuple):
    """Positions that go into a cache next."""

    cache: PositionCache
    positions: Positions
    outputs: int
    """How many of the last of them need their output."""
    guesses: int = 0
    """How many of the last of them are guesses; all of them need their output, and the position
    before them, too."""
    logits: bool = True
    """Whether the outputs have to have logits; they may have them anyway."""


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
        self._guesses: deque[tuple[Positions, BackboneOutput]] = deque()
        """Positions that the sequence holds behind those that are remembered, each with its output.
        `accept` makes them remembered; in everything else they do not exist."""
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

    @property
    def finishes_prompts(self) -> bool:
        """See `Backbone.finishes_prompts`."""
        return self._shelf.backbone.finishes_prompts

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
            if kept == len(prompt) and (self.output is None or not self.output.has_logits):
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
                self._guesses.clear()
                self._runs = [self.positions[:length]]
                self.sequence.truncate(length)

    def make_way(self, length: int) -> None:
        """Give to others what is behind position `length`, and what was never remembered.

        An evaluation that was ended early may have left positions in the sequence, or, with none
        of them remembered, the number that the sequence takes.
        """
        with self._shelf.lock:
            self.cut(length)
            self._guesses.clear()
            self.sequence.truncate(len(self))

    def logits_of(self, hidden: NDArray[np.float32], ids: tuple[int, ...]) -> NDArray[np.float32]:
        """Logits of a few text ids, float32 [ids], from a hidden state [hidden]."""
        return self._shelf.backbone.logits_of(hidden, ids)

    def begin(self) -> None:
        """Make ready to evaluate more: the sequence holds what is remembered, and no more."""
        self.output = None
        self._guesses.clear()
        self.check_open()
        self.sequence.truncate(len(self))

    def grown(self, new: New, outputs: Sequence[BackboneOutput]) -> None:
        """The sequence holds what is new now, with these outputs of its last positions."""
        known = len(new.positions) - new.guesses
        guessed = [new.positions[place : place + 1] for place in range(known, len(new.positions))]
        last = outputs[len(outputs) - new.guesses :]
        self._remember(new.positions[:known])
        self._guesses.extend(zip(guessed, last, strict=True))
        if outputs:
            self.output = outputs[-1 - new.guesses]

    def accept(self, position: Positions) -> bool:
        """Whether the next guess is this position; then it is remembered, and `output` is that
        behind it."""
        with self._shelf.lock:
            if not self._guesses or len(self._guesses[0][0]) != position.common_prefix(
                self._guesses[0][0]
            ):
                return False
            _, output = self._guesses.popleft()
            self.output = None
            self._remember(position)
            self.output = output
            return True

    def drop_guesses(self) -> None:
        """Give the room of guesses back that were not accepted."""
        with self._shelf.lock:
            if self._guesses:
                self._guesses.clear()
                self.sequence.truncate(len(self))

    def _remember(self, positions: Positions) -> None:
        self._runs.append(positions)
        if len(self._runs) > _MOST_RUNS:
            self._runs = [concatenate(self._runs)]
        self.evaluated += len(positions)
