"""What commands print: live text on a terminal, plain lines in a pipe, JSON when asked for.

Results go to standard output, everything else to standard error.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from unicodedata import bidirectional, category

import click
from rich.console import Console as RichConsole
from rich.status import Status
from rich.table import Table
from rich.text import Text

from ..json_lines import json_line

if TYPE_CHECKING:  # so that a wrong option is told before the libraries of the model are loaded
    from ..answer import Answer, OnText

__all__ = [
    "Console",
    "answer_record",
    "can_encode",
    "describe",
    "one_line",
    "print_table",
    "printable",
    "rich_console",
    "say_fault",
]

_PIPE_WIDTH = 200
_CONTROL = dict.fromkeys({*range(32), *range(127, 160)} - {ord("\n"), ord("\t")})
"""Characters that a terminal would obey rather than show, if a model ever makes them."""
_LONGEST_SENTENCE = 1000
"""Characters of a sentence; a longer one, which quotes something endless, is shown in part."""
_NOT_SHOWN = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


class Console:
    """What one command says: results on standard output, the rest on standard error."""

    def __init__(self, *, as_json: bool, verbose: int) -> None:
        self.as_json = as_json
        self._live = sys.stdout.isatty() and not as_json
        self._notes = rich_console(stderr=True)
        self._status: Status | None = None
        self._streamed = False
        self.verbose = verbose > 0
        """Whether to say more than the result."""
        if verbose:
            level = logging.DEBUG if verbose > 1 else logging.INFO
            handler = logging.StreamHandler()
            handler.setFormatter(_Printable("%(name)s: %(message)s"))
            logging.basicConfig(level=level, handlers=[handler])

    @contextlib.contextmanager
    def busy(self, what: str) -> Iterator[Callable[[str], None]]:
        """Show that something takes its time; only on a terminal.

        Gives a function that says anew what is being done, for example how far it is.
        """
        if self._notes.is_terminal and not self.as_json:
            spinner = "dots" if can_encode("⠋", self._notes.encoding) else "line"
            with self._notes.status(Text(one_line(what)), spinner=spinner) as self._status:
                status = self._status
                yield lambda text: status.update(Text(one_line(text)))
            self._status = None
        else:
            yield lambda text: None

    def live_text(self) -> OnText | None:
        """Prints text as it is generated, or None where nobody watches."""
        return self._stream_text if self._live else None

    def note(self, text: str) -> None:
        """Print a line beside the results; not with --json."""
        if not self.as_json:
            self._notes.print(printable(text), soft_wrap=True)

    def warn(self, sentence: str) -> None:
        """Print what the user should know, also with --json: a result is not what it may seem."""
        self._notes.print(f"mimo-edge: {one_line(sentence)}", soft_wrap=True)

    def complain(self, sentence: str) -> None:
        """Print what went wrong with a part of the work, while the command goes on."""
        if self._streamed:  # in the middle of a line
            click.echo()
            self._streamed = False
        say_fault(sentence)

    def text(self, text: str) -> None:
        """Print the text of a result, unless it was shown live."""
        if self._streamed:
            click.echo()
        elif not self.as_json:
            click.echo(printable(text) if sys.stdout.isatty() else text)
        self._streamed = False

    def record(self, **values: Any) -> None:
        """Print the result as one line of JSON, if that is asked for."""
        if self.as_json:
            click.echo(json_line(values, sys.stdout.encoding))

    def _stream_text(self, text: str) -> None:
        if self._status is not None:
            # It would overwrite the line that the text is on.
            self._status.stop()
        self._streamed = True
        click.echo(printable(text), nl=False)


class _Printable(logging.Formatter):
    """Messages may name files, and files may be named anything."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def printable(text: str) -> str:
    """The text without control characters, which a terminal would obey; line ends and tabs stay."""
    return text.translate(_CONTROL)


def one_line(text: str) -> str:
    """The text on one line: what a terminal would obey, what ends a line, turns its direction or
    is half of a surrogate pair stands there as an escape, so that a name stays recognizable.
    """
    return "".join(
        char.encode("unicode_escape").decode()
        if category(char) in _NOT_SHOWN or bidirectional(char) in _TURNS
        else char
        for char in text
    )


def can_encode(text: str, encoding: str) -> bool:
    """Whether a stream of this encoding shows the text as it is."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def rich_console(*, stderr: bool = False) -> RichConsole:
    """Prints what it is given: brackets and colons in names are no markup and no emoji."""
    return RichConsole(stderr=stderr, highlight=False, markup=False, emoji=False)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, left: Sequence[str] = ()
) -> None:
    """A table on standard output; the first column and those of `left` to the left, numbers to
    the right.

    Never folded: whoever redirects it wants one line per row.
    """
    table = Table(box=None, pad_edge=False)
    for index, column in enumerate(columns):
        to_the_right = index and column not in left
        table.add_column(column, justify="right" if to_the_right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(one_line, row))
    out = rich_console()
    if not out.is_terminal:
        out.width = _PIPE_WIDTH
    out.print(table)


def answer_record(answer: Answer) -> dict[str, Any]:
    """What lines of JSON say of an answer: its text, why it ended, how long it took."""
    stats = answer.stats
    generated = stats.generation_seconds
    return {
        "text": answer.text,
        "thinking": answer.thinking or None,
        "reason": answer.reason,
        "stats": {
            **asdict(stats),
            "evaluated_positions": stats.evaluated_positions,
            "real_time_factor": generated / stats.audio_seconds
            if stats.audio_seconds and generated
            else None,
        },
    }


def describe(answer: Answer, *, verbose: bool) -> str:
    """What there is to say about how an answer was made, maybe nothing; all with `verbose`."""
    stats, parts = answer.stats, []
    if verbose:
        seconds = stats.generation_seconds
        taken = f" in {seconds:.2f} s" if seconds else ""  # of a server's answers unknown
        guessed = f" ({stats.accepted_tokens} guessed)" if stats.accepted_tokens else ""
        parts.append(
            f"{stats.evaluated_positions} positions evaluated, {stats.cached_positions} cached, "
            f"{stats.text_tokens} tokens{guessed} and {stats.patches} patches{taken}"
        )
        if stats.audio_seconds and seconds:
            factor = seconds / stats.audio_seconds
            parts.append(f"{factor:.2f} s per second of speech, without hearing and sound")
    if answer.reason in ("length", "context"):
        limit = "--max-new-tokens" if answer.reason == "length" else "--ctx"
        parts.append(f"cut off, a larger {limit} lets it finish")
    return "; ".join(parts)


def say_fault(sentence: str) -> None:
    """Print what went wrong, as every command does; of endless names the beginning and the end."""
    line = one_line(sentence)
    if len(line) > _LONGEST_SENTENCE:
        line = f"{line[: _LONGEST_SENTENCE // 2]} … {line[-_LONGEST_SENTENCE // 2 :]}"
    click.echo(f"mimo-edge: {line}", err=True)
