"""MPEG audio: where joined files begin, and how long those are that do not say it.

Podcasts with inserted advertisements and files made by `cat` are several MP3s, one behind the
other. The first one's header states its own length, and a decoder that believes it stops there;
one without such a header is guessed at by its first frame, wrongly if the bit rate varies.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from .parts import Part

__all__ = ["is_mpeg_audio", "mp3_parts", "skip_id3"]

# Kilobits a second by layer, for MPEG 1 and for MPEG 2 and 2.5: four bits of a header choose one.
_V1 = {
    1: (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_V2 = {
    1: (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_V2[3] = _V2[2]
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_MAYBE_FRAME = re.compile(rb"\xff[\xe2-\xfe]|ID3", re.DOTALL)
_BLOCK = 1 << 16
_XING_FRAMES = 1
"""In a Xing header's flags: the number of frames follows."""


class _Frame(NamedTuple):
    version: int
    layer: int
    rate: int
    mono: bool
    size: int
    """Bytes, 0 where the header does not tell ("free format")."""

    @property
    def side(self) -> int:
        """Bytes between the header and a Xing header."""
        if self.version == 3:
            return 17 if self.mono else 32
        return 9 if self.mono else 17

    def continues(self, other: _Frame) -> bool:
        """Whether one stream may hold both."""
        return self[:4] == other[:4]


def skip_id3(file: Part) -> int:
    """Where the file goes on behind ID3 tags of version 2: 0 if there are none."""
    position = 0
    while size := _tag_size(file.at(position, 10)):
        position += size
    return position


def is_mpeg_audio(file: Part, position: int) -> bool:
    """Whether two frames stand here, one behind the other."""
    first = _parse(file.at(position, 4))
    if first is None or not first.size:
        return False
    if position + first.size >= file.length:
        return True
    second = _parse(file.at(position + first.size, 4))
    return second is not None and first.continues(second)


def mp3_parts(file: Part) -> list[tuple[int, int, bytes]]:
    """(begin, end, header to put in front) of every joined file, without tags behind it.

    The header, a Xing header with the number of frames, is empty where the part has its own.
    """
    parts: list[tuple[int, int, bytes]] = []
    begin, position, count, end = 0, 0, 0, 0
    last: _Frame | None = None
    headed = False
    while position < file.length:
        frame = _parse(file.at(position, 4))
        goes_on = frame is not None and last is not None and last.continues(frame)
        if frame is None or not frame.size or not (goes_on or is_mpeg_audio(file, position)):
            position = _resume(file, position)
            continue
        header = _has_header(file, position, frame)
        if last is not None and (header or not goes_on):
            parts.append((begin, end, b"" if headed else _xing(last, count)))
            last = None
        if last is None:
            begin, count, headed = position, 0, header
        last, count = frame, count + 1
        position += frame.size
        end = min(position, file.length)
    if last is not None:
        parts.append((begin, end, b"" if headed else _xing(last, count)))
    return parts


def _parse(header: bytes) -> _Frame | None:
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    bits, rate = header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or layer == 4 or bits == 15 or rate == 3:
        return None
    table = _V1 if version == 3 else _V2
    hertz, padding = _RATES[version][rate], header[2] >> 1 & 1
    bit_rate = 1000 * table[layer][bits]
    if layer == 1:
        size = (12 * bit_rate // hertz + padding) * 4
    else:
        size = (72 if layer == 3 and version != 3 else 144) * bit_rate // hertz + padding
    mono = header[3] >> 6 == 3
    # Without a bit rate only the next header would tell where the frame ends.
    return _Frame(version, layer, hertz, mono, size if bit_rate else 0)


def _has_header(file: Part, position: int, frame: _Frame) -> bool:
    """Whether this frame is one that states the length of what follows."""
    start = file.at(position + 4, 40)
    places = (frame.side, frame.side + 2)  # there may be a checksum of two bytes before
    return start[32:36] == b"VBRI" or any(
        start[place : place + 4] in (b"Xing", b"Info") for place in places
    )


def _resume(file: Part, position: int) -> int:
    """The next frame behind a tag or damage; the end if there is none."""
    head = file.at(position, 32)
    if size := _tag_size(head[:10]):
        return position + size
    if head[:3] == b"TAG":
        return position + 128
    if head[:8] == b"APETAGEX" and len(head) >= 16:
        return position + 32 + int.from_bytes(head[12:16], "little")
    position += 1
    while data := file.at(position, _BLOCK):
        for found in _MAYBE_FRAME.finditer(data):
            place = position + found.start()
            if data[found.start()] != 0xFF or is_mpeg_audio(file, place):
                return place
        position += len(data) - 2 if len(data) > 2 else len(data)
    return file.length


def _tag_size(head: bytes) -> int:
    """Of an ID3 tag of version 2; 0 if there is none."""
    if head[:3] != b"ID3" or len(head) < 10 or any(byte & 0x80 for byte in head[6:10]):
        return 0
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    return 10 + size + (10 if head[5] & 0x10 else 0)


def _xing(frame: _Frame, count: int) -> bytes:
    """A frame of silence that says how many follow."""
    if frame.layer != 3:
        return b""
    rate = _RATES[frame.version].index(frame.rate)
    head = bytes((0xFF, 0xE3 | frame.version << 3, 9 << 4 | rate << 2, 0xC0 if frame.mono else 0))
    parsed = _parse(head)
    assert parsed is not None
    xing = bytes(frame.side) + b"Xing" + struct.pack(">II", _XING_FRAMES, count)
    return (head + xing).ljust(parsed.size, b"\0")
