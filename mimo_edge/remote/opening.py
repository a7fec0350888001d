"""From a server's address to a conversation that can begin: connect, and say how to answer."""

from __future__ import annotations

import time
from dataclasses import dataclass

from .address import ServerAddress
from .client_events import RemoteSettings, update_session
from .connection import Connection, ConnectionLost, Refused, connect
from .server_events import ErrorEvent, Session, SessionCreated, SessionUpdated

__all__ = ["OpenedSession", "open_session"]

_LATER = (1001, 1012, 1013)
"""Codes of a goodbye that is not for good: the server ends, restarts, or has no room now."""
_PATIENCE_S = 30.0
"""For each answer of a server that is still loading its model."""


@dataclass(frozen=True, kw_only=True)
class OpenedSession:
    """A server that listens and knows how to answer."""

    connection: Connection
    model: str
    """Name of the model, as the server tells it; empty: it does not."""
    rate: int
    """Hz of the sound in both directions."""
    doubts: tuple[str, ...]
    """What the server did not take as it was asked for, a sentence each."""


def open_session(address: ServerAddress, settings: RemoteSettings) -> OpenedSession:
    """Connect and agree.

    Raises:
        Refused: the server says no to this client or to its settings.
        ConnectionLost: it cannot be reached, or went away.
        MimoEdgeError: a package is missing.
    """
    connection = connect(address)
    try:
        created = _answer_of(connection, SessionCreated)
        connection.send(update_session(settings, "settings"))
        session = _answer_of(connection, SessionUpdated)
        return OpenedSession(
            connection=connection,
            model=session.model or created.model or "",
            rate=_rate(session, connection.host),
            doubts=tuple(_doubts(session, settings, connection.host)),
        )
    except BaseException:
        connection.close()
        raise


def _answer_of(
    connection: Connection, kind: type[SessionCreated] | type[SessionUpdated]
) -> Session:
    """The session in the next event of that kind; others are passed over."""
    host, until, problem = connection.host, time.monotonic() + _PATIENCE_S, None
    while True:
        try:
            event = connection.receive(max(0.0, until - time.monotonic()))
        except TimeoutError as error:
            raise ConnectionLost(
                f"{host} takes the connection and then says nothing for {_PATIENCE_S:g} s."
            ) from error
        except ValueError as error:
            raise Refused(
                f"{host} does not speak OpenAI's Realtime API: {_first_line(error)}."
            ) from error
        except ConnectionLost as error:
            if problem is None:
                raise
            # The sentence before a goodbye tells more than its code.
            kind_of_error = ConnectionLost if error.code in _LATER else Refused
            raise kind_of_error(problem) from error
        if isinstance(event, kind):
            return event.session
        if isinstance(event, ErrorEvent):
            problem = f"{host} refuses: {event.error.message.rstrip('.')}."
            if kind is SessionUpdated:
                raise Refused(problem)


def _rate(session: Session, host: str) -> int:
    hears, says = session.audio.input.format, session.audio.output.format
    if hears.rate != says.rate or {hears.type, says.type} != {"audio/pcm"} or hears.rate < 8000:
        raise Refused(
            f"{host} hears {hears.type} at {hears.rate} Hz and says {says.type} at {says.rate} "
            "Hz; PCM of one rate from 8000 Hz on is needed."
        )
    return hears.rate


def _doubts(session: Session, settings: RemoteSettings, host: str) -> list[str]:
    voice = session.audio.output.voice
    doubts = []
    if settings.voice not in (None, voice, voice.get("id") if isinstance(voice, dict) else None):
        others = f"{voice!r}" if isinstance(voice, str) else "its own"
        doubts.append(f"{host} has no voice {settings.voice!r} and takes {others}.")
    if settings.transcriber is not None and session.audio.input.transcription is None:
        doubts.append(f"{host} does not write down what you say.")
    return doubts


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
