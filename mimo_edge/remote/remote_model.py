"""A model on a server, in a conversation of this machine.

Whose turn it is, is decided here: the server gets the user's sound while it is spoken, and is told
when to answer, when to stop, and how much of an answer was heard.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..dialogue.model_events import ModelEvent, Ready, Told
from ..errors import ServerError
from .address import ServerAddress
from .client_events import RemoteSettings
from .connection import Connection, ConnectionLost, Refused
from .opening import OpenedSession, open_session
from .responses import Responses
from .server_events import ServerEvent

__all__ = ["RemoteModel"]

Samples = NDArray[np.float32]

_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Before each try to get a lost connection back: a laptop that wakes up, a server that restarts."""
_NORMAL = 1000
"""Code of a goodbye without trouble."""
_CLOSING_S = 4.0
"""For the last words to the server; a network that hangs does not keep the program."""


@dataclass(frozen=True)
class _Hear:
    samples: Samples


@dataclass(frozen=True)
class _Answer:
    turn: int
    samples: Samples


@dataclass(frozen=True)
class _Stop:
    turn: int
    heard: int


@dataclass(frozen=True)
class _Received:
    connection: Connection
    what: ServerEvent | Exception


class RemoteModel:
    """A `ports.ModelPort` over a connection, with threads of its own while it is entered.

    One thread does what is asked for and takes what the server says, in the order in which both
    come; another one receives. A connection that is lost is opened again, and the server is told
    what was said before.
    """

    def __init__(
        self,
        address: ServerAddress,
        settings: RemoteSettings,
        opened: OpenedSession,
        post: Callable[[ModelEvent], None],
    ) -> None:
        """Go on with `opened`, which `open_session` made of the other two, and close it at last.

        `post` is called with every event, from a thread; it must return soon.
        """
        self._address, self._settings = address, settings
        self._opened, self._post = opened, post
        self._responses = Responses(
            opened.connection.send, post, rate=opened.rate, speaks=settings.speaks
        )
        self._inbox: queue.SimpleQueue[_Hear | _Answer | _Stop | _Received | None]
        self._inbox = queue.SimpleQueue()
        self._told_garbled = False
        self._resting = False
        """Whether there is no connection until somebody speaks."""
        self._closing = threading.Event()
        self.failure: BaseException | None = None
        """What ended the thread: the server is gone for good, or a mistake of ours."""
        self._thread = threading.Thread(target=self._run, name="mimo_edge remote", daemon=True)

    def hear(self, samples: Samples) -> None:
        """Send what is new of a question that goes on and begins with `samples`."""
        self._inbox.put(_Hear(samples))

    def prepare(self, samples: Samples) -> None:
        """Send what is new, so that little is left to be sent if this was the end."""
        self._inbox.put(_Hear(samples))

    def forget(self) -> None:
        """Do nothing: the next samples tell whether what was sent belongs to them."""

    def answer(self, turn: int, samples: Samples) -> None:
        """Send the rest of a question, and have it answered."""
        self._inbox.put(_Answer(turn, samples))

    def stop(self, turn: int, heard: int) -> None:
        """End that answer and have the server forget what of it was not heard."""
        self._inbox.put(_Stop(turn, heard))

    def __enter__(self) -> RemoteModel:
        """Start the threads."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Do what was asked for before, say goodbye and end the threads."""
        self._closing.set()
        self._inbox.put(None)
        self._thread.join(_CLOSING_S)

    def _run(self) -> None:
        try:
            for doubt in self._opened.doubts:
                self._post(Told(sentence=doubt))
            self._listen(self._opened.connection)
            self._post(Ready())
            while (job := self._inbox.get()) is not None:
                try:
                    self._do(job)
                except ConnectionLost as error:
                    self._come_back(error)
        except BaseException as error:
            self.failure = error
        finally:
            self._opened.connection.close()

    def _do(self, job: _Hear | _Answer | _Stop | _Received) -> None:
        if isinstance(job, _Hear):
            if self._resting:  # an answer's question finds out by itself that nobody listens
                self._resting = False
                self._reopen()
            self._responses.hear(job.samples)
        elif isinstance(job, _Answer):
            self._responses.answer(job.turn, job.samples)
        elif isinstance(job, _Stop):
            self._responses.stop(job.turn, job.heard)
        elif job.connection is self._opened.connection:  # what an earlier one said is over
            self._take(job.what)

    def _take(self, what: ServerEvent | Exception) -> None:
        try:
            if isinstance(what, Exception):
                raise what
            self._responses.take(what)
        except ValueError as error:
            if not self._told_garbled:
                self._told_garbled = True
                line = str(error).partition("\n")[0]
                self._post(Told(sentence=f"the server sends what cannot be understood ({line})."))

    def _listen(self, connection: Connection) -> None:
        """Receive in a thread of its own, which ends with the connection."""

        def receive() -> None:
            while True:
                try:
                    event = connection.receive()
                except ConnectionLost as error:
                    self._inbox.put(_Received(connection, error))
                    return
                except ValueError as error:
                    self._inbox.put(_Received(connection, error))
                except Exception as error:  # a mistake of ours: nobody would wait for ever
                    self._inbox.put(_Received(connection, error))
                    return
                else:
                    if event is not None:
                        self._inbox.put(_Received(connection, event))

        threading.Thread(target=receive, name="mimo_edge receiving", daemon=True).start()

    def _come_back(self, lost: ConnectionLost) -> None:
        """Open another connection and go on there; jobs wait meanwhile.

        Raises:
            MimoEdgeError: that does not work.
        """
        self._opened.connection.close()
        self._responses.lose()
        if self._closing.is_set():
            return
        pauses: tuple[float, ...] = _PAUSES_S
        if lost.code == _NORMAL:
            # Nothing was said for some time, and the server gave the place to others.
            self._resting = not self._responses.expects
            if self._resting:
                return
            pauses = (0.0, *pauses)
        else:
            self._post(Told(sentence=f"{str(lost).rstrip('.')}; trying to get it back."))
        for pause in pauses:
            if self._closing.wait(pause):
                return
            try:
                self._reopen()
            except ConnectionLost as error:
                lost = error
            else:
                if pause:
                    self._post(Told(sentence=f"{self._address.host} is back."))
                return
        raise ServerError(f"{self._address.host} did not come back: {lost}")

    def _reopen(self) -> None:
        opened = open_session(self._address, self._settings)
        if opened.rate != self._opened.rate:
            opened.connection.close()
            raise Refused(f"{self._address.host} came back with sound of {opened.rate} Hz.")
        self._opened = opened
        try:
            self._responses.begin_again(opened.connection.send)
        except ConnectionLost:
            opened.connection.close()  # the next try brings another one
            self._responses.lose()
            raise
        self._listen(opened.connection)
