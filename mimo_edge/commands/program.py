"""How a command runs as a program: its streams, its signals, its exit status."""

from __future__ import annotations

import errno
import io
import sys
import warnings
from typing import NoReturn

import click

from ..errors import MimoEdgeError
from . import signals, standard_streams
from .console import printable, say_fault
from .remedies import with_option

__all__ = ["run_command"]

_INTERRUPTED = 130
"""Exit status of a program that Ctrl-C ended, as shells count it."""
_NO_MEMORY = "out of memory; give a smaller --ctx or close other programs."


def run_command(command: click.Command, argv: list[str] | None = None) -> NoReturn:
    """Run a command and exit: 0, 1 with one sentence, 2 for wrong usage, 130 for Ctrl-C.

    Also 1, if its results could not be printed; in silence, if the reader of a pipe has had
    enough (`| head`).
    """
    standard_streams.prepare()
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # Python's warnings (overflow, …) are for developers
    status, sentence = _run(command, argv)
    lost = standard_streams.lost_results()
    if lost is not None and sentence is None:
        status = status or 1
        if lost.errno != errno.EPIPE:
            sentence = (
                f"standard output cannot be written ({lost.strerror or lost}); "
                "what was to be printed is lost."
            )
    if sentence is not None:
        say_fault(sentence)
    sys.exit(status)


def _run(command: click.Command, argv: list[str] | None) -> tuple[int, str | None]:
    """(exit status, what to complain about)."""
    try:
        signals.unwind()
        status = command.main(args=argv, standalone_mode=False)
    except MimoEdgeError as error:
        return 1, with_option(error)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        click.echo(printable(shown.getvalue()), nl=False, err=True)
        return error.exit_code, None
    except (KeyboardInterrupt, click.Abort):
        return _INTERRUPTED, "interrupted"
    except MemoryError:
        return 1, _NO_MEMORY
    except RuntimeError as error:  # Python's, if there is no memory for a thread
        from ..system.memory import is_memory_fault  # takes longer to load than this module

        if not is_memory_fault(error):
            raise
        return 1, _NO_MEMORY
    except standard_streams.OutputLost:
        return 1, None
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        return 1, f"{where}the system refuses ({error.strerror or error})."
    return (status if isinstance(status, int) else 0), None
