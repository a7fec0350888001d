"""One websocket to a server: opening it, and why that did not work; events out and in.

The only module that imports websockets, and that late: whoever has no server to talk with does not
need it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..errors import BadInputError, MissingPackageError, ServerError
from .address import ServerAddress
from .event_loop import EventLoop, EventLoopEnded
from .server_events import ServerEvent, event_of

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection
    from websockets.http11 import Response

__all__ = ["Connection", "ConnectionLost", "Refused", "connect"]

_OPENING_S = 20.0
_CLOSING_S = 2.0
_MESSAGE_BYTES = 16 * 2**20
"""Of one message: a server that sends more than the API allows is not listened to."""
_LONGEST_REASON = 300

# websockets' own logger tells at its lowest level what goes through the socket: the key, and
# everything that is said.
_quiet = logging.getLogger(f"{__name__}.websocket")
_quiet.setLevel(logging.ERROR)


class ConnectionLost(ServerError):
    """There is no connection (any more); a later try may bring one."""

    code: int | None = None
    """Why the server, or the network, closed it, as websockets have it; None: it never was."""


class Refused(ServerError):
    """The server is there and does not want this client; trying again is no use."""


class Connection:
    """A websocket that is open until `close`, or until it is lost.

    One thread may send while another receives.
    """

    def __init__(self, socket: ClientConnection, loop: EventLoop, host: str) -> None:
        """`socket` is one of `loop`, which ends with the connection."""
        self._socket, self._loop = socket, loop
        self.host = host
        """The server's name and port."""

    def send(self, event: dict[str, Any]) -> None:
        """Send an event; waits while the network is slower than what is to be sent.

        Raises:
            ConnectionLost: it cannot be sent.
        """
        with self._told_if_lost():
            self._loop.wait(self._socket.send(json.dumps(event)))

    def receive(self, timeout: float | None = None) -> ServerEvent | None:
        """The next message's event; None: one that nobody needs.

        Raises:
            ConnectionLost: there will be no more.
            TimeoutError: nothing came within `timeout` seconds.
            ValueError: the message is not what it should be.
        """
        with self._told_if_lost():
            try:
                message = self._loop.wait(self._received(timeout))
            except asyncio.TimeoutError as error:  # in Python 3.10 not the one that is promised
                raise TimeoutError from error
        return event_of(message)

    def close(self) -> None:
        """Say goodbye, if the server still listens; returns within seconds."""
        try:
            with contextlib.suppress(EventLoopEnded):
                self._loop.wait(self._socket.close())
        finally:  # after Ctrl-C, too
            self._loop.end(_CLOSING_S)

    async def _received(self, timeout: float | None) -> str | bytes:
        return await asyncio.wait_for(self._socket.recv(), timeout)

    @contextlib.contextmanager
    def _told_if_lost(self) -> Iterator[None]:
        from websockets.exceptions import ConnectionClosed

        try:
            yield
        except (ConnectionClosed, EventLoopEnded) as error:
            code, reason = self._socket.close_code, self._socket.close_reason
            said = f"{code}: {reason}" if reason else str(code or error)
            lost = ConnectionLost(
                f"the connection to {self.host} was lost ({said[:_LONGEST_REASON].rstrip('.')})."
            )
            lost.code = code
            raise lost from error


def connect(address: ServerAddress) -> Connection:
    """A connection to the server.

    Raises:
        Refused: the server, or this machine's doubts about it, say no.
        ConnectionLost: it cannot be reached.
        MimoEdgeError: a package is missing.
    """
    try:
        import websockets.asyncio.client as _  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            f"talking with a server needs websockets ({error}); "
            "install it with `pip install 'mimo-edge[talk]'`."
        ) from error
    tls = _tls(address) if address.encrypted else None
    with _explained(address):
        loop = EventLoop("mimo_edge connection")
        try:
            return Connection(loop.wait(_open(address, tls)), loop, address.host)
        except BaseException:
            loop.end(_CLOSING_S)
            raise


async def _open(address: ServerAddress, tls: ssl.SSLContext | None) -> ClientConnection:
    from websockets.asyncio import client

    class Opening(client.connect):
        def process_redirect(self, exc: Exception) -> Exception:
            return exc  # no other server gets the key

    return await Opening(
        address.url,
        additional_headers=(
            {"Authorization": f"Bearer {address.api_key}"} if address.api_key else {}
        ),
        ssl=tls,
        compression=None,  # sound in base64 does not get smaller
        # A proxy of the environment is for hosts elsewhere.
        proxy=None if address.is_here else True,
        open_timeout=_OPENING_S,
        close_timeout=_CLOSING_S,
        max_size=_MESSAGE_BYTES,
        logger=_quiet,
    )


def _tls(address: ServerAddress) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=address.ca)
    except (OSError, ValueError) as error:  # not there, or no certificate
        raise BadInputError(
            f"{address.ca} cannot be used as a certificate ({error}); give a file in PEM format."
        ) from error
    if address.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@contextlib.contextmanager
def _explained(address: ServerAddress) -> Iterator[None]:
    """Say in one sentence why there is no connection."""
    from websockets.exceptions import InvalidHandshake, InvalidProxy, InvalidStatus, InvalidURI

    host = address.host
    try:
        yield
    except InvalidStatus as error:
        raise _refusal(address, error.response) from error
    except InvalidURI as error:
        raise BadInputError(f"the address cannot be used ({error}).") from error
    except InvalidProxy as error:  # which may hold a password: it is not shown
        raise BadInputError(
            f"the environment names a proxy that cannot be used ({' '.join(error.msg.split())}); "
            "write it as http://host:port, or unset it."
        ) from error
    except ssl.SSLCertVerificationError as error:
        raise Refused(
            f"the certificate of {host} is not trusted ({error.verify_message}); name the one "
            "that it is to be trusted by, or do without.",
            about="authority",
        ) from error
    except ssl.SSLError as error:
        raise Refused(
            f"{host} does not speak TLS ({error.reason}); begin the address with http://."
        ) from error
    except (TimeoutError, asyncio.TimeoutError) as error:
        raise ConnectionLost(f"{host} does not answer within {_OPENING_S:g} s.") from error
    except ImportError as error:  # of a SOCKS proxy
        raise MissingPackageError(
            f"the environment's proxy needs another package ({error})."
        ) from error
    except OSError as error:
        raise ConnectionLost(
            f"{host} cannot be reached ({error.strerror or error}); "
            "is the server running, and is the address right?"
        ) from error
    except (InvalidHandshake, EOFError) as error:
        raise ConnectionLost(
            f"{host} does not answer as a web server ({error}); "
            "if it expects TLS, begin the address with https://."
        ) from error
    except ValueError as error:  # the address itself was checked before
        raise BadInputError(
            f"the environment names a proxy that cannot be used ({error}); write it as "
            "http://host:port, or unset it."
        ) from error


def _refusal(address: ServerAddress, response: Response) -> ServerError:
    """Why there is no websocket, by the status of the answer."""
    status, reason = response.status_code, _reason(response)
    said = f" ({reason})" if reason else ""
    if status == 401:
        wants = "does not accept the key" if address.api_key else "wants a key"
        return Refused(f"{address.host} {wants}{said}.", about="api_key")
    if status == 404:
        path = urlsplit(address.url).path
        return Refused(f"{address.host} has no realtime conversations at {path}{said}.")
    if status == 429 or status >= 500:
        return ConnectionLost(f"{address.host} has no room now: it answers {status}{said}.")
    return Refused(f"{address.host} refuses: it answers {status}{said}.")


def _reason(response: Response) -> str:
    """The server's own words, if it has any."""
    text = (response.body or b"").decode("utf-8", "replace").strip()
    with contextlib.suppress(ValueError, KeyError, TypeError):
        text = str(json.loads(text)["error"]["message"])
    if text.startswith("<"):  # a page, of a proxy
        return ""
    return " ".join(text.split())[:_LONGEST_REASON].rstrip(".")
