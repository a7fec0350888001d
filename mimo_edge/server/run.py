"""Run the server until it is told to end."""

from __future__ import annotations

import socket

import uvicorn

from ..errors import DeviceError
from .app import create_app
from .options import ServerOptions
from .service import Service

__all__ = ["listen", "run", "server_of"]


def listen(options: ServerOptions) -> socket.socket:
    """A socket at the server's address; connections wait in it until `run` takes them.

    Raises:
        MimoEdgeError: the address is in use, or not one of this machine.
    """
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((options.host, options.port))
    except OSError as error:
        listening.close()
        raise DeviceError(
            f"the server cannot listen on {options.host}:{options.port} "
            f"({error.strerror or error}); choose another port, or 0 for any free one."
        ) from error
    return listening


def run(service: Service, listening: socket.socket) -> None:
    """Answer until SIGINT or SIGTERM."""
    server_of(service).run(sockets=[listening])


def server_of(service: Service) -> uvicorn.Server:
    """The server, not running yet."""
    options = service.options
    config = uvicorn.Config(
        create_app(service),
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="websockets-sansio",
        ws_max_size=options.limits.message_bytes,
        ws_per_message_deflate=False,
        limit_concurrency=options.limits.connections,
        timeout_graceful_shutdown=3,
        ssl_certfile=options.tls_cert,
        ssl_keyfile=options.tls_key,
    )
    return uvicorn.Server(config)
