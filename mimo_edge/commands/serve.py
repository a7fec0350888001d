"""`mimo-edge serve`: the model as a speech server of this machine."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING

import click

from ..bundle.default_bundle import find_bundle
from ..bundle.files import load_manifest
from ..errors import MissingPackageError
from ..tasks import Overrides
from .console import Console
from .options import ModelOptions, model_options, output_options, sampling_options
from .serve_options import ServeOptions, serve_options
from .wyoming_options import WyomingOptions, serve_wyoming, wyoming_options

if TYPE_CHECKING:
    from ..model import MimoAudio
    from ..server.sharing.service import Service

__all__ = ["serve"]

_PATIENCE_S = 3.0
"""Seconds that a computation has to end after the server did."""


@click.command()
@serve_options
@wyoming_options
@model_options
@sampling_options
@output_options
def serve(
    server: ServeOptions,
    wyoming: WyomingOptions | None,
    options: ModelOptions,
    overrides: Overrides,
    console: Console,
) -> None:
    """Answer programs that speak OpenAI's API, and a page in the browser.

    Programs use the address that is printed with /v1 behind it, in place of
    https://api.openai.com/v1. Ctrl-C ends the server.
    """
    try:
        from ..server.run import addresses, listen, run, server_of
        from ..server.sharing.service import Service
    except ImportError as error:
        raise MissingPackageError(
            f"the server needs more packages ({error}); "
            "install them with `pip install 'mimo-edge[server]'`."
        ) from error
    load_manifest(find_bundle(options.bundle))  # its mistakes are told before the server is up
    given = server.server_options(overrides, console)
    at_once = None
    if server.conversations is not None:
        at_once = max(8, server.conversations + server.requests)

    def load() -> MimoAudio:
        return options.load(
            console,
            for_long=True,
            conversations=at_once,
            cache_positions=server.cache_positions,
        )

    service = Service(load, given)
    http = server_of(service)
    listening = listen(given)
    urls = addresses(given, listening)
    console.record(event="listening", url=urls[0], urls=urls)
    for url in urls:
        console.note(url)
    if not given.is_local and given.tls_cert is None:
        console.note(
            "Browsers on other machines allow a page the microphone only over https: "
            "--tls-cert, --tls-key."
        )
    serve_wyoming(service, wyoming, console)
    service.when_loaded.append(lambda: _tell_loaded(service, console))
    try:
        run(http, listening)
    finally:
        _leave_what_hangs()


def _tell_loaded(service: Service, console: Console) -> None:
    if service.failure is not None:
        return  # told at the end, which comes now
    name, most = service.model.manifest.name, service.most_conversations
    console.record(event="ready", model=name, conversations=most)
    console.note(
        f"{name} is ready; this machine carries {most} live conversation{'s' * (most != 1)}."
    )


def _leave_what_hangs() -> None:
    """End the process if a thread does not, which Python would wait for.

    Native code looks at nothing in the middle of a step, and a step may take long.
    """
    until = time.monotonic() + _PATIENCE_S
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(0)
