"""What was computed of a conversation whose turns somebody else keeps.

A `Session` remembers its turns. Where every request brings the whole conversation along, as over
HTTP, only the computation is kept, and what a request has in common with it is not done again.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator, Iterator, Sequence

import numpy as np

from .engine import Engine
from .errors import WrongUseError
from .generation.events import Event
from .generation.heard import Heard, heard_part
from .generation.sound import SoundOptions
from .prompt.positions import Piece, Positions
from .tasks import PreparedTask

__all__ = ["PromptCache"]

_RESERVE = 256
"""Positions kept free for an answer, or a quarter of a small context."""


class PromptCache:
    """Answers tasks, one after the other, each from what it has in common with the last one."""

    def __init__(self, engine: Engine) -> None:
        """An empty one; see `MimoAudio.prompt_cache`."""
        self._engine = engine
        self._cache = engine.new_cache()
        self._in_use = threading.Lock()

    @property
    def positions(self) -> Positions:
        """What is kept: a prompt and what was generated behind it."""
        return self._cache.positions

    def stream(
        self,
        task: PreparedTask,
        *,
        cancel: threading.Event | None = None,
        sound: SoundOptions | bool = False,
    ) -> Generator[Event, None, None]:
        """Do a task, as `MimoAudio.stream` does.

        Raises:
            MimoEdgeError: it does not fit the context, this is closed, or another task runs in it.
        """
        with self._alone():
            events = self._engine.events(task, self._cache, cancel=cancel, sound=sound)
            with contextlib.closing(events):
                yield from events

    def evaluate(
        self, pieces: Sequence[Piece], *, cancel: threading.Event | None = None
    ) -> int | None:
        """Compute the beginning of a prompt before it is needed.

        Returns:
            Positions that went through the backbone for it; None if `cancel` ended it before.

        Raises:
            MimoEdgeError: it does not fit the context, this is closed, or a task runs in it.
        """
        with self._alone():
            before = self._cache.evaluated
            prompt = self._engine.layout.positions(pieces)
            if not self._engine.scheduler.evaluate(self._cache, prompt, cancel):
                return None
            return self._cache.evaluated - before

    def has_room_for(self, pieces: Sequence[Piece], *, besides: int = 0) -> bool:
        """Whether a prompt leaves the context room for an answer and so many positions besides.

        Of a small context, at most an eighth is kept free besides.
        """
        context = self._engine.backbone.context
        prompt = self._engine.layout.positions(pieces)
        return len(prompt) <= context - min(_RESERVE, context // 4) - min(besides, context // 8)

    def audio_positions(self, pieces: Sequence[Piece]) -> int:
        """How many positions of a prompt are sound, of either side."""
        prompt = self._engine.layout.positions(pieces)
        return int(np.sum(prompt.text_ids == self._engine.layout.empty_id))

    def heard(self, answer: Positions, played_samples: int, *, finished: bool) -> Heard:
        """What of a spoken answer was heard; see `generation.heard`.

        Args:
            answer: the answer as it was generated, from behind `<|sostm|>`.
            played_samples: how many samples of it were played, at the bundle's rate.
            finished: whether the answer came to its end by itself.
        """
        config, layout = self._engine.manifest.audio, self._engine.layout
        return heard_part(
            answer,
            played_samples // (config.samples_per_step * layout.group_size),
            finished=finished,
            layout=layout,
            tokenizer=self._engine.tokenizer,
        )

    def close(self) -> None:
        """Forget everything; an answer that is under way fails at its next position."""
        self._cache.close()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        self._cache.check_open()
        if self._in_use.locked():
            raise WrongUseError("the cache is busy with another answer; take a new one.")
        with self._in_use:
            yield
