"""`mimo-edge serve`: the model as a speech server of this machine."""

from __future__ import annotations

import click

from ..errors import MissingPackageError
from ..tasks import Overrides
from .console import Console
from .options import ModelOptions, model_options, output_options, sampling_options
from .wyoming_options import WyomingOptions, serve_wyoming, wyoming_options

__all__ = ["serve"]


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, help="Port; 0: any free one.")
@wyoming_options
@model_options
@sampling_options
@output_options
def serve(
    host: str,
    port: int,
    wyoming: WyomingOptions | None,
    options: ModelOptions,
    overrides: Overrides,
    console: Console,
) -> None:
    """Answer programs that speak OpenAI's API, and a page in the browser."""
    try:
        from ..server.options import ServerOptions
        from ..server.run import listen, run
        from ..server.service import Service
    except ImportError as error:
        raise MissingPackageError(
            f"the server needs more packages ({error}); "
            "install them with `pip install 'mimo-edge[server]'`."
        ) from error
    service = Service(
        lambda: options.load(console, for_long=True),
        ServerOptions(host=host, port=port, overrides=overrides),
    )
    listening = listen(service.options)
    console.note(f"http://{host}:{listening.getsockname()[1]}")
    serve_wyoming(service, wyoming, console)
    run(service, listening)
