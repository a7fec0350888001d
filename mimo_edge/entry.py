"""How the programs start: Ctrl-C is no traceback, whenever it comes."""

import importlib
import os
import signal
import sys
from typing import Any

__all__ = ["at_once", "start"]

_NO_MEMORY = ("failed to map segment", "cannot allocate memory", "Cannot allocate memory")
"""What the system says of a library for which there is no memory."""


def start(module: str, command: str) -> None:
    """Import a click command from a module and run it; for the main module of a program.

    While modules are imported, and when the command has ended, there is nothing to put away: then
    Ctrl-C lets the system end the program at once. As an exception in the middle of an import it
    might get lost.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, at_once())
    if at_once() is not signal.SIG_DFL:
        signal.signal(signal.SIGTERM, at_once())
    try:
        run_command = importlib.import_module("mimo_edge.commands.program").run_command
        loaded = getattr(importlib.import_module(module), command)
    except (ImportError, MemoryError) as error:
        if isinstance(error, ImportError) and not any(word in str(error) for word in _NO_MEMORY):
            raise
        sys.exit("mimo-edge: there is not enough memory to start; close other programs.")
    try:
        run_command(loaded)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        signal.signal(signal.SIGINT, at_once())


def at_once() -> Any:
    """The handler with which a signal ends the program at once: the system's own.

    The system keeps its first process from signals that it would end of, and that is what a
    program in a container is: there it needs a handler that does it.
    """
    return _end if os.getpid() == 1 else signal.SIG_DFL


def _end(number: int, _: object) -> None:
    os._exit(128 + number)  # as shells count a program that a signal ended
