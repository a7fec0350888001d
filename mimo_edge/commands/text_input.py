"""Text from standard input, whatever wrote it: a pipe, a file, an editor of another system."""

from __future__ import annotations

import codecs
import io
import sys
from collections.abc import Iterator

from ..errors import BadInputError

__all__ = ["read_lines", "read_text"]

_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_text() -> str:
    """All of standard input, without the white space around it.

    A byte order mark says how it is encoded, and is no text. Without one it is UTF-8, or what
    the terminal's encoding says (`PYTHONIOENCODING`, a code page).

    Raises:
        MimoEdgeError: it is closed, or is no text.
    """
    return "".join(read_lines(stripped=False)).strip()


def read_lines(*, stripped: bool = True) -> Iterator[str]:
    """Standard input line by line, as they come; without white space around them, none empty.

    Raises:
        MimoEdgeError: as `read_text`.
    """
    raw = getattr(sys.stdin, "buffer", None)
    if raw is None:
        raise BadInputError("there is no standard input to read from; give the text itself.")
    try:
        first = raw.readline()
        mark = next((mark for mark in _MARKS if first.startswith(mark)), b"")
        if _MARKS.get(mark, "utf-8") != "utf-8":
            # A line's end is several bytes there.
            lines: Iterator[str] = iter(
                io.StringIO(_decode(first + raw.read(), _MARKS[mark]), newline=None)
            )
        else:
            lines = _decoded(first[len(mark) :], raw)
        for line in lines:
            if not stripped or (line := line.strip()):
                yield line
    except OSError as error:
        raise BadInputError(
            f"standard input cannot be read ({error.strerror or error}); give the text itself, "
            "or a file with <."
        ) from error


def _decoded(first: bytes, raw: io.BufferedIOBase) -> Iterator[str]:
    line = first
    while line:
        yield _decode(line, "utf-8")
        line = raw.readline()


def _decode(data: bytes, encoding: str) -> str:
    for name in dict.fromkeys((encoding, sys.stdin.encoding or encoding)):
        try:
            text = data.decode(name)
        except (UnicodeDecodeError, LookupError):
            continue
        if "\0" not in text:
            return text
    raise BadInputError(
        f"standard input is no text in {encoding.upper()} ({data[:20]!r} …); "
        "convert it, for example with `iconv -f latin1 -t utf-8`."
    )
