"""Run the server until it is told to end."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import signal
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence

import psutil
import uvicorn

from ..errors import BadInputError, DeviceError
from .app import create_app
from .options import ServerOptions
from .requests.protocol import limited_protocol
from .sharing.service import Service

__all__ = ["Server", "addresses", "listen", "run", "server_of"]

_EVERYWHERE = ("0.0.0.0", "::")
_GRACE_S = 3
"""Seconds that answers have to come to an end after the server was told to."""


def listen(options: ServerOptions) -> socket.socket:
    """A socket at the server's address; connections wait in it until `run` takes them.

    Raises:
        MimoEdgeError: the address is in use, or not one of this machine.
    """
    try:
        [(family, _, _, _, address), *_] = socket.getaddrinfo(
            options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise DeviceError(
            f"{options.host} is no address of this machine ({_reason(error)}); give 127.0.0.1, or "
            "0.0.0.0 for all of them."
        ) from error
    # With its protocol named, asyncio sends small pieces at once; else each may wait 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # elsewhere it lets two programs have one port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)  # from here on nobody else gets the port
    except OSError as error:
        listening.close()
        raise DeviceError(
            f"the server cannot listen on {options.host}, port {options.port} "
            f"({_reason(error)}); choose another port, or 0 for any free one."
        ) from error
    return listening


def addresses(options: ServerOptions, listening: socket.socket) -> list[str]:
    """Where the server is reached: `http://127.0.0.1:8000`, and from other machines."""
    port = listening.getsockname()[1]
    hosts = [options.host or "0.0.0.0"]
    if hosts[0] in _EVERYWHERE:
        families = (socket.AF_INET,) if hosts[0] == "0.0.0.0" else (socket.AF_INET6, socket.AF_INET)
        hosts = ["127.0.0.1" if hosts[0] == "0.0.0.0" else "::1", *_own_addresses(families)]
    return [f"{options.scheme}://{f'[{host}]' if ':' in host else host}:{port}" for host in hosts]


def _own_addresses(families: Sequence[int]) -> list[str]:
    """Addresses of this machine in its networks."""
    found = []
    states = psutil.net_if_stats()
    for name, given in psutil.net_if_addrs().items():
        if name in states and not states[name].isup:
            continue
        for address in given:
            if address.family not in families or "%" in address.address:
                continue  # with a zone: of one cable, and no browser takes it
            ip = ipaddress.ip_address(address.address)
            if not (ip.is_loopback or ip.is_link_local):
                found.append(str(ip))
    return found


def run(server: Server, listening: socket.socket) -> None:
    """Answer until Ctrl-C or a signal that ends programs, then end within seconds.

    For the main thread, where signals arrive.

    Raises:
        MimoEdgeError: the model does not load.
    """
    server.ends_without_model = True
    with _signals(server), contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listening])
    if server.service.failure is not None:
        raise server.service.failure


def server_of(service: Service) -> Server:
    """The server, not running yet.

    Raises:
        MimoEdgeError: the certificate or its key cannot be used.
    """
    options = service.options
    config = uvicorn.Config(
        create_app(service),
        # Uvicorn would write addresses with their queries, in which somebody may put a key.
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        http=limited_protocol(options.limits),
        h11_max_incomplete_event_size=options.limits.head_bytes,
        ws="websockets-sansio",
        ws_max_size=options.limits.message_bytes,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=_GRACE_S,
        ssl_certfile=options.tls_cert,
        ssl_keyfile=options.tls_key,
    )
    logging.getLogger("uvicorn.error").addFilter(_not_expected)
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise BadInputError(
            f"{options.tls_cert} and {options.tls_key} cannot be used for TLS "
            f"({_reason(error)}); give a certificate and its key as PEM files."
        ) from error
    return Server(config, service)


def _not_expected(record: logging.LogRecord) -> bool:
    """Whether a line of uvicorn's is about something that is not meant to be.

    An answer that is broken off is never completed, so that its reader knows (`streaming`); and
    idle callers over TLS do not always answer when they are told that the server ends.
    """
    return not str(record.msg).startswith(
        ("ASGI callable returned without completing response", "Cancel %s running task")
    )


class Server(uvicorn.Server):
    """Uvicorn's server, which ends what runs before it waits for its end."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service = service
        self.ends_without_model = False
        """Whether to end if the model does not load, rather than to say so to all who ask."""

    async def on_tick(self, counter: int) -> bool:
        """Whether to end; asked ten times a second."""
        lost = self.ends_without_model and self.service.failure is not None
        return await super().on_tick(counter) or lost

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, and close those there are."""
        self.service.end_all()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing: `run` has done it, and no signal is sent again at the end."""
        yield


@contextlib.contextmanager
def _signals(server: uvicorn.Server) -> Iterator[None]:
    """Meanwhile Ctrl-C and other ends of a program end the server; a second one at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _: object) -> None:
        if server.should_exit:
            server.force_exit = True
        server.should_exit = True

    before = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).lower().replace("_", " ")
    return getattr(error, "strerror", None) or str(error)
