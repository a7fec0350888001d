"""What commands print: live text on a terminal, plain lines in a pipe, JSON when asked for.

Results go to standard output, everything else to standard error.
"""

from __future__ import annotations

import _thread
import contextlib
import json
import logging
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, NoReturn

import click
from rich.console import Console as RichConsole
from rich.status import Status
from rich.table import Table

from .engine import Answer, OnText
from .errors import MimoEdgeError

__all__ = ["Console", "answer_record", "describe", "print_table", "printable", "run_command"]

_PIPE_WIDTH = 200
_CONTROL = dict.fromkeys({*range(32), 127} - {ord("\n"), ord("\t")})
"""Characters that a terminal would obey rather than show, if a model ever makes them."""

_INTERRUPTED = 130
"""Exit status of a program that Ctrl-C ended, as shells count it."""


class Console:
    """The two output streams of one command."""

    def __init__(self, *, as_json: bool, verbose: int) -> None:
        self.as_json = as_json
        self._live = sys.stdout.isatty() and not as_json
        self._notes = RichConsole(stderr=True, highlight=False)
        self._status: Status | None = None
        self._streamed = False
        self.verbose = verbose > 0
        """Whether to say more than the result."""
        if verbose:
            level = logging.DEBUG if verbose > 1 else logging.INFO
            logging.basicConfig(level=level, format="%(name)s: %(message)s")

    @contextlib.contextmanager
    def busy(self, what: str) -> Iterator[None]:
        """Show that something takes its time; only on a terminal."""
        if self._notes.is_terminal and not self.as_json:
            with self._notes.status(what) as self._status:
                yield
            self._status = None
        else:
            yield

    def live_text(self) -> OnText | None:
        """Prints text as it is generated, or None where nobody watches."""
        return self._stream_text if self._live else None

    def note(self, text: str) -> None:
        """One line beside the results."""
        if not self.as_json:
            self._notes.print(text, markup=False, soft_wrap=True)

    def complain(self, sentence: str) -> None:
        """What went wrong with a part of the work, where the command goes on with the rest."""
        if self._streamed:  # in the middle of a line
            click.echo()
            self._streamed = False
        _say_fault(sentence)

    def text(self, text: str) -> None:
        """The text of a result, unless it was shown live."""
        if self._streamed:
            click.echo()
        elif not self.as_json:
            click.echo(printable(text) if sys.stdout.isatty() else text)
        self._streamed = False

    def record(self, **values: Any) -> None:
        """The result as one line of JSON, if that is asked for."""
        if self.as_json:
            click.echo(json.dumps(values, ensure_ascii=False, default=str))

    def _stream_text(self, text: str) -> None:
        if self._status is not None:
            # It would overwrite the line that the text is on.
            self._status.stop()
        self._streamed = True
        click.echo(printable(text), nl=False)


def printable(text: str) -> str:
    """Text without the characters that a terminal would obey."""
    return text.translate(_CONTROL)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on standard output; the first column to the left, numbers to the right.

    Never folded: whoever redirects it wants one line per row.
    """
    table = Table(box=None, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    out = RichConsole(highlight=False)
    if not out.is_terminal:
        out.width = _PIPE_WIDTH
    out.print(table)


def answer_record(answer: Answer) -> dict[str, Any]:
    """What JSON output says of an answer."""
    stats = answer.stats
    generated = stats.generation_seconds
    return {
        "text": answer.text,
        "thinking": answer.thinking or None,
        "reason": answer.reason,
        "stats": {
            **asdict(stats),
            "evaluated_positions": stats.evaluated_positions,
            "real_time_factor": generated / stats.audio_seconds if stats.audio_seconds else None,
        },
    }


def describe(answer: Answer) -> str:
    """One line about how an answer was made."""
    stats = answer.stats
    seconds = stats.generation_seconds
    line = (
        f"{stats.evaluated_positions} positions evaluated, {stats.cached_positions} cached, "
        f"{stats.text_tokens} tokens and {stats.patches} patches in {seconds:.2f} s"
    )
    if stats.audio_seconds:
        line += f", real-time factor {seconds / stats.audio_seconds:.2f}"
    if answer.reason in ("length", "context"):
        limit = "--max-new-tokens" if answer.reason == "length" else "--ctx"
        line += f"; cut off, a larger {limit} lets it finish"
    return line


def run_command(command: click.Command, argv: list[str] | None = None) -> NoReturn:
    """Run a command and exit: 0, 1 with one sentence, 2 for wrong usage, 130 for Ctrl-C.

    If the reader of a pipe has enough (`| head`), click ends the program with 1 and in silence.
    """
    # Whoever stops the program is to find nothing half-written: a kill unwinds like Ctrl-C.
    signal.signal(signal.SIGTERM, _interrupt)
    sys.unraisablehook = _interrupt_again
    try:
        status = command.main(args=argv, standalone_mode=False)
    except MimoEdgeError as error:
        _fail(str(error), 1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _fail("interrupted", _INTERRUPTED)
    except MemoryError:
        _fail("out of memory; give a smaller --ctx or close other programs.", 1)
    sys.exit(status if isinstance(status, int) else 0)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _interrupt_again(ignored: sys.UnraisableHookArgs) -> None:
    """Python drops exceptions from C's callbacks (llama.cpp's log) and from finalizers.

    A Ctrl-C that happens to arrive in one would be lost, so it is sent once more.
    """
    if issubclass(ignored.exc_type, KeyboardInterrupt):
        threading.Timer(0.05, _interrupt_main).start()
    else:
        sys.__unraisablehook__(ignored)


def _interrupt_main() -> None:
    if hasattr(signal, "pthread_kill"):  # ends a system call as well
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main()


def _say_fault(sentence: str) -> None:
    click.echo(f"mimo-edge: {sentence}", err=True)


def _fail(sentence: str, status: int) -> NoReturn:
    _say_fault(sentence)
    sys.exit(status)
