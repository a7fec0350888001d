"""Commands of the converter, loaded only when used: they need more packages than the rest."""

from __future__ import annotations

import importlib
from typing import Any

import click

from ..errors import MissingPackageError
from ..installation import CONVERTER
from .signals import deadly

__all__ = ["convert", "pack", "pull", "push"]


_WORK = {"convert": "converting", "pack": "packing", "pull": "fetching", "push": "uploading"}
"""Command → what its work is called in a sentence."""


class _ConvertCommand(click.Command):
    """Stands for a command of the converter, which a wheel has in another place."""

    def __init__(self, name: str, module: str, *, short_help: str) -> None:
        """Stand for `{name}_command` in a module of the converter."""
        super().__init__(name, short_help=short_help)
        self._module = module

    def _real(self) -> click.Command:
        try:
            with deadly():
                module = importlib.import_module(f"{CONVERTER}.{self._module}")
        except ModuleNotFoundError as error:
            raise MissingPackageError(
                f"{_WORK[str(self.name)]} needs the package {error.name}; install all that it "
                "needs with `pip install 'mimo-edge[convert]'`."
            ) from error
        command: click.Command = getattr(module, f"{self.name}_command")
        return command

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run it as a program of its own (`python -m convert`)."""
        return self._real().main(*args, **extra)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """The context with the converter's options, its help among them."""
        return self._real().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the converter with what was parsed."""
        return self._real().invoke(ctx)


convert = _ConvertCommand("convert", "cli", short_help="Turn a checkpoint into a bundle.")
pack = _ConvertCommand(
    "pack", "sharing.pack_cli", short_help="Make a folder that runs on a machine without network."
)
pull = _ConvertCommand(
    "pull", "sharing.share_cli", short_help="Fetch a bundle from a folder or a hub."
)
push = _ConvertCommand(
    "push", "sharing.share_cli", short_help="Bring a bundle to a folder or a hub."
)
