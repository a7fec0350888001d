"""The options of `mimo-edge serve` that are about Home Assistant's protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..errors import BadInputError, MissingPackageError
from ..server.wyoming.options import WyomingOptions
from .console import Console
from .options import option_group

if TYPE_CHECKING:
    from ..server.sharing.service import Service

__all__ = ["WyomingOptions", "serve_wyoming", "wyoming_options"]


def _wyoming(
    wyoming: int | None, wyoming_host: str | None, wyoming_announce: bool
) -> WyomingOptions | None:
    if wyoming is None:
        if wyoming_host is not None or wyoming_announce:
            raise BadInputError(
                "--wyoming-host and --wyoming-announce are about a server that --wyoming starts; "
                "give its port, for example --wyoming 10300."
            )
        return None
    host = wyoming_host or "127.0.0.1"
    return WyomingOptions(port=wyoming, host=host, announce=wyoming_announce)


wyoming_options = option_group(
    "wyoming",
    _wyoming,
    click.option(
        "--wyoming",
        type=int,
        metavar="PORT",
        help="Listen, speak and answer for Home Assistant too, at this port (it expects 10300).",
    ),
    click.option(
        "--wyoming-host",
        show_default="127.0.0.1",
        help="Address for Home Assistant; its protocol has no keys: all who reach it may use it.",
    ),
    click.option(
        "--wyoming-announce",
        is_flag=True,
        help="Tell the local network, so that Home Assistant finds it by itself.",
    ),
)


def serve_wyoming(service: Service, options: WyomingOptions | None, console: Console) -> None:
    """Let the Wyoming server run while the HTTP server does, if there is to be one.

    Raises:
        MimoEdgeError: its library is missing, or its address is in use.
    """
    if options is None:
        return
    try:
        from ..server.wyoming.server import WyomingServer, listen
    except ImportError as error:
        raise MissingPackageError(
            f"Home Assistant's protocol needs more packages ({error}); "
            "install them with `pip install 'mimo-edge[wyoming]'`."
        ) from error
    listening = listen(options)
    service.beside.append(WyomingServer(service, options, listening))
    url = f"tcp://{options.host}:{listening.getsockname()[1]}"
    console.record(event="wyoming", url=url)
    console.note(f"{url} for Home Assistant")
    if not options.only_here:
        console.note(
            f"Everybody who reaches {options.host} may use the model there: Home Assistant's "
            "protocol has no keys and no encryption."
        )
