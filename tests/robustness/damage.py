"""Bytes that were damaged on their way, whatever they mean."""

from __future__ import annotations

from random import Random

__all__ = ["damage", "overwrite"]

_WORDS = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000)


def damage(rng: Random, data: bytes, *, head: int | None = None) -> tuple[bytes, str]:
    """Another content and what was done; with `head`, only the first bytes are damaged.

    `data` has at least 16 bytes.
    """
    size = min(head or len(data), len(data))
    while True:
        how = rng.choice(_DAMAGES if head is None else (_flip, _word))
        changed, what = how(rng, data, size)
        if changed != data:
            return changed, what


def overwrite(data: bytes, place: int, new: bytes) -> bytes:
    """`data` with `new` in it from `place` on."""
    return data[:place] + new + data[place + len(new) :]


def _flip(rng: Random, data: bytes, size: int) -> tuple[bytes, str]:
    changed = bytearray(data)
    places = [rng.randrange(size) for _ in range(rng.choice([1, 1, 3, 20]))]
    for place in places:
        changed[place] ^= 1 << rng.randrange(8)
    return bytes(changed), f"bits flipped at {places}"


def _word(rng: Random, data: bytes, size: int) -> tuple[bytes, str]:
    width, place = rng.choice([1, 2, 4, 8]), rng.randrange(size - 8)
    value = rng.choice(_WORDS) & (256**width - 1)
    new = value.to_bytes(width, rng.choice(["little", "big"]))
    return overwrite(data, place, new), f"{new.hex()} at {place}"


def _cut(rng: Random, data: bytes, _: int) -> tuple[bytes, str]:
    length = rng.choice([0, 1, 4, 44, 100, rng.randrange(len(data)), len(data) - 1])
    return data[:length], f"cut to {length} of {len(data)} bytes"


def _hole(rng: Random, data: bytes, _: int) -> tuple[bytes, str]:
    start = rng.randrange(len(data))
    length = min(rng.choice([1, 64, 4096, len(data)]), len(data) - start)
    filler = bytes([rng.choice([0, 0xFF])])
    return overwrite(data, start, filler * length), f"{length} bytes {filler.hex()} at {start}"


def _lose(rng: Random, data: bytes, _: int) -> tuple[bytes, str]:
    start, length = rng.randrange(len(data)), rng.choice([1, 7, 512])
    return data[:start] + data[start + length :], f"{length} bytes lost at {start}"


def _repeat(rng: Random, data: bytes, _: int) -> tuple[bytes, str]:
    start, length = rng.randrange(len(data)), rng.choice([1, 7, 512])
    piece = data[start : start + length]
    return data[:start] + piece + data[start:], f"{length} bytes twice at {start}"


def _append(rng: Random, data: bytes, _: int) -> tuple[bytes, str]:
    tail = rng.choice([b"\0", b"\n", rng.randbytes(1000), data[:200]])
    return data + tail, f"{len(tail)} bytes appended"


_DAMAGES = (_flip, _flip, _word, _cut, _cut, _hole, _lose, _repeat, _append)
