"""What was computed of a conversation whose turns somebody else keeps.

A `Session` remembers its turns. Where every request brings the whole conversation along, as over
HTTP, only the computation is kept, and what a request has in common with it is not done again.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator

from .engine import Engine
from .errors import WrongUseError
from .generation.events import Event
from .generation.sound import SoundOptions
from .prompt.positions import Positions
from .tasks import PreparedTask

__all__ = ["PromptCache"]


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
        self._cache.check_open()
        if self._in_use.locked():
            raise WrongUseError("the cache is busy with another answer; take a new one.")
        with self._in_use:
            events = self._engine.events(task, self._cache, cancel=cancel, sound=sound)
            with contextlib.closing(events):
                yield from events

    def close(self) -> None:
        """Forget everything; an answer that is under way fails at its next position."""
        self._cache.close()
