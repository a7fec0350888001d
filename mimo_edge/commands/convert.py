"""`mimo-edge convert`, loaded only when it is used: it needs more packages than the rest."""

from __future__ import annotations

import importlib
from typing import Any

import click

from ..errors import MissingPackageError
from ..installation import CONVERTER
from .signals import deadly

__all__ = ["convert"]


class _ConvertCommand(click.Command):
    """Stands for the command of the converter, which a wheel has in another place."""

    def _real(self) -> click.Command:
        try:
            with deadly():
                module = importlib.import_module(f"{CONVERTER}.cli")
        except ModuleNotFoundError as error:
            raise MissingPackageError(
                f"converting needs the package {error.name}; install all that it needs with "
                "`pip install 'mimo-edge[convert]'`."
            ) from error
        command: click.Command = module.convert_command
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


convert = _ConvertCommand("convert", short_help="Turn a checkpoint into a bundle.")
