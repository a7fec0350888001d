"""Ogg files that were put one behind the other ("chained"): where each begins.

Internet radio and recorders that start a new stream for each title make them; libsndfile
decodes the first and stops.
"""

from __future__ import annotations

from .parts import Part

__all__ = ["ogg_links"]

_MAGIC = b"OggS"
_HEADER = 27
_FIRST_PAGE = 0x02
"""In a page's flags: the first one of a logical stream."""


def ogg_links(file: Part) -> list[tuple[int, int]]:
    """(begin, end) of every link in bytes; one if the file is not chained.

    A link begins with the first pages of all its streams (there may be a video's beside it), so
    the next one begins with the first page that comes after other ones.
    """
    begins, position, in_front = [0], 0, True
    while True:
        header = file.at(position, _HEADER)
        if len(header) < _HEADER:
            break
        if header[:4] != _MAGIC:
            position = _next_page(file, position + 1)
            continue
        first = bool(header[5] & _FIRST_PAGE)
        if first and not in_front:
            begins.append(position)
        in_front = first
        sizes = file.at(position + _HEADER, header[26])
        position += _HEADER + len(sizes) + sum(sizes)
    return list(zip(begins, [*begins[1:], file.length], strict=True))


def _next_page(file: Part, position: int, block: int = 1 << 16) -> int:
    """Where the next page begins; the file's end if there is none."""
    while position < file.length:
        data = file.at(position, block)
        found = data.find(_MAGIC)
        if found >= 0:
            return position + found
        position += max(1, len(data) - len(_MAGIC) + 1)
    return file.length
