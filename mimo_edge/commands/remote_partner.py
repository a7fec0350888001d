"""A server's model as the partner of a live conversation, or of recorded turns."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..answer import Answer, OnText
from ..audio.reading import read_at
from ..dialogue.model_events import (
    Ended,
    Failed,
    ModelEvent,
    Sound,
    Text,
    Told,
    Transcribed,
)
from ..dialogue.playback import PlaybackSettings
from ..errors import BadInputError, ServerError
from ..remote.address import ServerAddress
from ..remote.client_events import RemoteSettings
from ..remote.opening import OpenedSession, open_session
from ..remote.remote_model import RemoteModel
from .console import Console
from .live import Partner
from .recorded_chat import Asked

__all__ = ["RemotePartner"]

_PACED_S = 0.4
"""Servers send sound about a second ahead of real time at most, or as fast as they make it."""
_LOOK_S = 0.2
"""How often to see whether the server is still there, while nothing comes of it."""
_SHORTEST_S, _LONGEST_S = 0.1, 600.0
"""Of a recorded turn: servers do not take shorter ones, and models do not remember longer ones."""
_WRITTEN_DOWN_S = 20.0
"""For the question in words, which may come after the answer."""


@dataclass(frozen=True, kw_only=True)
class RemotePartner:
    """A server that listens, connected."""

    address: ServerAddress
    settings: RemoteSettings
    session: OpenedSession

    @classmethod
    def connect(
        cls, address: ServerAddress, settings: RemoteSettings, console: Console
    ) -> RemotePartner:
        """Connect.

        Raises:
            MimoEdgeError: the server cannot be reached, or refuses.
        """
        with console.busy(f"connecting to {address.host}"):
            session = open_session(address, settings)
        return cls(address=address, settings=settings, session=session)

    def worker(self, post: Callable[[ModelEvent], None]) -> RemoteModel:
        """What answers, once it is entered; it closes the connection at the end."""
        return RemoteModel(self.address, self.settings, self.session, post)

    @property
    def live(self) -> Partner:
        """The server as the partner of a live conversation."""
        name = f"{self.session.model} at {self.address.host}".removeprefix(" at ")
        return Partner(
            name=name,
            rate=self.session.rate,
            speaks=self.settings.speaks,
            worker=self.worker,
            playback=PlaybackSettings(paced_s=_PACED_S, maker=self.address.host),
        )

    @contextlib.contextmanager
    def recorded(self, console: Console) -> Iterator[Callable[[str, OnText | None], Asked]]:
        """Gives a function that asks a recording; what the server complains about is told."""
        inbox: queue.SimpleQueue[ModelEvent] = queue.SimpleQueue()
        with self.worker(inbox.put) as model:
            turns = _RecordedTurns(
                model, inbox, console, self.session.rate, self.settings.transcriber is not None
            )
            yield turns.ask


@dataclass
class _RecordedTurns:
    """Recorded turns, one after the other."""

    model: RemoteModel
    inbox: queue.SimpleQueue[ModelEvent]
    console: Console
    rate: int
    transcribes: bool
    _turn: int = 0
    _questions: dict[int, str] = field(default_factory=dict)
    """What was asked in words, by turn."""

    def ask(self, path: str, on_text: OnText | None) -> Asked:
        """The answer to a recording; `on_text` gets its text while it comes.

        Raises:
            MimoEdgeError: the recording cannot be read, or the server does not answer it, or not
                to the end.
        """
        recording = read_at(path, self.rate, longest_s=_LONGEST_S)
        if len(recording.samples) < _SHORTEST_S * self.rate:
            raise BadInputError(
                f"{recording.name} holds less than {_SHORTEST_S:g} s of sound; give a longer one."
            )
        self._turn += 1
        self.model.answer(self._turn, recording.samples)
        text: list[str] = []
        sound: list[NDArray[np.float32]] = []
        while True:
            event = self._next()
            if isinstance(event, Failed):
                raise ServerError(event.sentence)
            if isinstance(event, Text):
                text.append(event.text)
                if on_text is not None:
                    on_text(event.text)
            elif isinstance(event, Sound):
                sound.append(event.samples)
            elif isinstance(event, Ended):
                if event.reason == "cancelled":  # by nobody here
                    raise ServerError(
                        f"the answer to {recording.name} broke off at the server, or on its way; "
                        "ask again."
                    )
                return Asked(answer=self._answer(event, text, sound), question=self._question())

    def _answer(self, ended: Ended, text: list[str], sound: list[NDArray[np.float32]]) -> Answer:
        return Answer(
            text="".join(text).strip(),
            thinking="",
            audio=np.concatenate(sound) if sound else None,
            sample_rate=self.rate,
            codes=np.zeros((0, 0), dtype=np.int64),  # which stay at the server
            reason=ended.reason,
            stats=ended.stats,
        )

    def _question(self) -> str | None:
        """What was asked in words, if somebody wants to know and the server tells in time."""
        patience = round(_WRITTEN_DOWN_S / _LOOK_S) if self.transcribes else 0
        while self._turn not in self._questions and patience:
            patience -= 1
            with contextlib.suppress(queue.Empty):
                self._take(self.inbox.get(timeout=_LOOK_S))
        return self._questions.get(self._turn)

    def _next(self) -> ModelEvent:
        while True:
            try:
                event = self.inbox.get(timeout=_LOOK_S)
            except queue.Empty:
                if self.model.failure is not None:
                    raise self.model.failure from None
            else:
                self._take(event)
                return event

    def _take(self, event: ModelEvent) -> None:
        if isinstance(event, Told):
            self.console.warn(event.sentence)
        elif isinstance(event, Transcribed):
            self._questions[event.turn] = event.text
