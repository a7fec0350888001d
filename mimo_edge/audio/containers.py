"""What an open file holds: one sound file, several behind one another, or an unfinished one."""

from __future__ import annotations

import struct
from typing import BinaryIO

from .mp3 import is_mpeg_audio, mp3_parts, skip_id3
from .ogg import ogg_links
from .parts import Part

__all__ = ["parts_of"]

_FLAC = b"fLaC\0\0\0\x22"
"""The magic and the head of the first block, which has 34 bytes."""
_FLAC_TOTAL = 21
"""Where the number of samples stands, 36 bits, behind 4 bits of something else."""
_FLAC_UNKNOWN = (1 << 36) - 1
_UNKNOWN = b"\xff\xff\xff\xff"
"""A length that libsndfile takes for "up to the end of the file" in WAV and AU."""
_BLOCK = 1 << 20


def parts_of(stream: BinaryIO, start: int, end: int) -> list[Part]:
    """Sound files for a decoder, in their order; what is unknown is one part, as it stands.

    A recorder that crashed and a program that wrote into a pipe leave a length of 0, or one
    that is wrong; it is put right here, so that what is there is heard to its end.
    """
    file = Part(stream, start, end)
    head = file.at(0, 12)
    if head[:4] == b"OggS":
        return [Part(stream, start + a, start + b) for a, b in ogg_links(file)]
    if head[:4] in (b"RIFF", b"RIFX") and head[8:] == b"WAVE":
        return [Part(stream, start, end, patches=_wav_patches(file, start))]
    if head[:4] == b".snd" and head[8:12] == bytes(4):
        return [Part(stream, start, end, patches=[(start + 8, _UNKNOWN)])]
    if head[:4] == b"caff":
        return [Part(stream, start, end, patches=_caf_patches(file, start))]
    audio = skip_id3(file)
    if file.at(audio, len(_FLAC)) == _FLAC:
        return _flac_parts(stream, start + audio, end)
    if is_mpeg_audio(file, audio):
        return [
            Part(stream, start + a, start + b, prefix=prefix) for a, b, prefix in mp3_parts(file)
        ]
    return [file]


def _wav_patches(file: Part, start: int) -> list[tuple[int, bytes]]:
    """The data's length where it is 0 or ends where no other chunk begins."""
    order = "<" if file.at(0, 4) == b"RIFF" else ">"
    position = 12
    while len(head := file.at(position, 8)) == 8:
        size = int(struct.unpack(f"{order}I", head[4:])[0])
        if head[:4] == b"data":
            behind = position + 8 + size
            more = file.length - behind
            wrong = size == 0 or not any(_chunk_at(file, order, behind + pad) for pad in (0, 1))
            return [(start + position + 4, _UNKNOWN)] if more > 8 and wrong else []
        position += 8 + size + size % 2
    return []


def _chunk_at(file: Part, order: str, position: int) -> bool:
    """Whether what stands there looks like a chunk: a name, and a length that there is."""
    head = file.at(position, 8)
    if len(head) < 8 or not all(0x20 <= byte < 0x7F for byte in head[:4]):
        return False
    return position + 8 + int(struct.unpack(f"{order}I", head[4:])[0]) <= file.length + 1


def _caf_patches(file: Part, start: int) -> list[tuple[int, bytes]]:
    """The data's length where it is -1, "up to the end of the file", 0, or more than there is."""
    position = 8
    while len(head := file.at(position, 12)) == 12:
        size = int(struct.unpack(">q", head[4:])[0])
        there = file.length - position - 12
        if head[:4] == b"data" and not 0 < size <= there:
            return [(start + position + 4, struct.pack(">q", there))]
        if size < 0:
            break
        position += 12 + size
    return []


def _flac_parts(stream: BinaryIO, start: int, end: int) -> list[Part]:
    """Joined FLAC files. Where the number of samples is stated, it is taken for unknown if it
    is smaller than what there is, which only decoding tells: it is always left out.
    """
    file = Part(stream, start, end)
    begins, position = [], 0
    while position < file.length:
        data = file.at(position, _BLOCK)
        at = data.find(_FLAC)
        while at >= 0:
            begins.append(start + position + at)
            at = data.find(_FLAC, at + 1)
        position += max(1, len(data) - len(_FLAC) + 1)
    parts = []
    for begin, stop in zip(begins, [*begins[1:], end], strict=True):
        stated = Part(stream, begin, stop).at(_FLAC_TOTAL, 5).ljust(5, b"\0")
        total = int.from_bytes(stated, "big") & _FLAC_UNKNOWN
        patches = [(begin + _FLAC_TOTAL, bytes((stated[0] & 0xF0, 0, 0, 0, 0)))]
        frames = None if total in (0, _FLAC_UNKNOWN) else total
        parts.append(Part(stream, begin, stop, patches=patches, frames=frames))
    return parts
