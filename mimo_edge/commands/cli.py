"""The command `mimo-edge`: which commands there are, each loaded when it is used."""

from __future__ import annotations

import importlib
from typing import NoReturn

import click

from .program import run_command
from .signals import deadly

__all__ = ["cli", "main"]

_FUNCTIONS = {"continue": "continue_", "eval": "eval_", "few-shot": "few_shot"}
"""Where a command's function cannot have its name."""
_COMMANDS = {
    "ask": "ask",
    "bench": "bench",
    "chat": "chat",
    "compare": "compare",
    "continue": "continue_speech",
    "convert": "convert",
    "decode": "decode",
    "encode": "encode",
    "eval": "eval",
    "few-shot": "few_shot",
    "info": "info",
    "lookahead": "lookahead",
    "pack": "convert",
    "picture": "picture",
    "pull": "convert",
    "push": "convert",
    "serve": "serve",
    "speak": "speak",
    "talk": "remote_talk",
    "text": "text",
    "transcribe": "transcribe",
    "verify": "verify",
}
"""Command → its module here."""


class _Commands(click.Group):
    """Loads a command's module, and what that needs, when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, as the help lists them."""
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, or None."""
        if cmd_name not in _COMMANDS:
            return None
        # Loading what runs a model takes several times as long as all else a wrong option needs.
        with deadly():
            module = importlib.import_module(f".{_COMMANDS[cmd_name]}", __package__)
        command: click.Command = getattr(module, _FUNCTIONS.get(cmd_name, cmd_name))
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mimo-edge")
def cli() -> None:
    """MiMo-Audio, the model that listens and speaks, on this machine."""


def main(argv: list[str] | None = None) -> NoReturn:
    """Run the command line and end the program."""
    run_command(cli, argv)
