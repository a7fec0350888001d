"""What was said before: one session for each conversation, for as long as it goes on."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import OrderedDict
from collections.abc import Generator

from ...generation.events import Event
from ...model import MimoAudio
from ...prompt.prompts import Exchange
from ...session import Session
from ..sharing.service import Service
from .options import WyomingLimits

__all__ = ["Conversation", "Conversations"]


class Conversation:
    """One conversation in writing."""

    def __init__(self, service: Service) -> None:
        self.alone = asyncio.Lock()
        """To be held from a question until its answer was delivered."""
        self._service = service
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._undelivered: list[Exchange] | None = None
        """The turns before the last one, as long as nobody has its answer."""
        self._closed = False

    def answer(self, text: str, cancel: threading.Event) -> Generator[Event, None, None]:
        """The answer as it is made; blocks. It is forgotten if it is not `delivered`.

        Raises:
            MimoEdgeError: the text does not fit, or the conversation was closed.
        """
        while not self._lock.acquire(timeout=0.1):
            if cancel.is_set():
                return
        try:
            if self._session is None:
                self._session = _session(self._service.model, self._service)
            session = self._session
            if self._undelivered is not None:
                session.turns = self._undelivered
            self._undelivered = list(session.turns)
            with contextlib.closing(session.stream(text=text, cancel=cancel)) as events:
                yield from events
        finally:
            self._lock.release()
            self._free_if_closed()

    def delivered(self) -> None:
        """The last answer reached who asked for it, so it is a part of the conversation."""
        self._undelivered = None

    def close(self) -> None:
        """Free its memory: now, or when the answer that is under way has ended."""
        self._closed = True
        self._free_if_closed()

    def _free_if_closed(self) -> None:
        # Whoever holds the lock now looks again after he has released it.
        if self._closed and self._lock.acquire(blocking=False):
            session, self._session = self._session, None
            self._lock.release()
            if session is not None:
                session.close()


def _session(model: MimoAudio, service: Service) -> Session:
    return model.session(reply="text", overrides=service.options.overrides)


class Conversations:
    """Those that are remembered, by the names that clients give them. For the event loop only."""

    def __init__(self, service: Service, limits: WyomingLimits) -> None:
        self._service = service
        self._limits = limits
        self._known: OrderedDict[str, Conversation] = OrderedDict()
        self._ends: dict[str, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._known)

    def take(self, name: str) -> Conversation:
        """The conversation of this name, a new one if there is none; it counts as used now."""
        if name in self._ends:
            self._ends.pop(name).cancel()
        conversation = self._known.pop(name, None) or Conversation(self._service)
        self._known[name] = conversation
        loop = asyncio.get_running_loop()
        self._ends[name] = loop.call_later(self._limits.forget_s, self._forget, name)
        while len(self._known) > self._limits.conversations:
            self._forget(next(iter(self._known)))
        return conversation

    def alone(self) -> Conversation:
        """A conversation that nobody will come back to; whoever asks for it closes it."""
        return Conversation(self._service)

    def close(self) -> None:
        """Forget all."""
        for name in list(self._known):
            self._forget(name)

    def _forget(self, name: str) -> None:
        self._ends.pop(name).cancel()
        conversation = self._known.pop(name)
        # A session is closed between two steps of whatever runs: not in the event loop.
        asyncio.get_running_loop().run_in_executor(None, conversation.close)
