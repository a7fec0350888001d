"""A stretch of an open file that looks like a file of its own to a decoder."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, BinaryIO

__all__ = ["Part"]

_BLOCK = 1 << 16


class Part(io.RawIOBase):
    """The bytes from `start` to `end`, behind a `prefix`, with `patches` laid over them.

    Decoders call this from C, where a Python exception would be printed and lost: it is kept
    in `failure`, the decoder sees the end of the file, and `check` raises it afterwards.
    """

    def __init__(
        self,
        stream: BinaryIO,
        start: int,
        end: int,
        *,
        prefix: bytes = b"",
        patches: Sequence[tuple[int, bytes]] = (),
        frames: int | None = None,
    ) -> None:
        """A patch is (position in the stream, bytes that stand there instead); `frames` is the
        number of samples per channel that a patch hides from the decoder.
        """
        self.frames = frames
        self.failure: BaseException | None = None
        self._stream, self._start, self._end = stream, start, end
        self._prefix, self._patches = prefix, patches
        self._at = 0
        self._length = len(prefix) + end - start
        self._block, self._block_at = b"", 0

    def at(self, position: int, count: int) -> bytes:
        """Bytes at a position of this part, fewer at its end."""
        self.seek(position)
        found = self.read(count) or b""
        self.check()
        return found

    def check(self) -> None:
        """Raise what went wrong while a decoder was reading."""
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure

    @property
    def exhausted(self) -> bool:
        """Whether the decoder has read everything."""
        return self._at >= self._length

    @property
    def length(self) -> int:
        """Bytes from the start to the end, the prefix among them."""
        return self._length

    def seekable(self) -> bool:
        """Whether decoders may go back and forth: always."""
        return True

    def readable(self) -> bool:
        """Whether there is something to read from, which decoders ask: always."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position in bytes and return it; it is counted from the start of this part."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """The position in bytes from the start of this part."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as there is something to read; returns how many bytes there were."""
        view, filled = memoryview(buffer).cast("B"), 0
        try:
            while filled < len(view):
                piece = self._piece(len(view) - filled)
                if not piece:
                    break
                view[filled : filled + len(piece)] = piece
                filled += len(piece)
                self._at += len(piece)
        except BaseException as error:
            self.failure = error
            return 0
        return filled

    def _piece(self, count: int) -> bytes:
        """What is next, at most `count` bytes; empty at the end."""
        if self._at < len(self._prefix):
            return self._prefix[self._at : self._at + count]
        position = self._start + self._at - len(self._prefix)
        inside = position - self._block_at
        if not 0 <= inside < len(self._block):
            self._block, self._block_at = self._load(position), position
            inside = 0
        return self._block[inside : inside + count]

    def _load(self, position: int) -> bytes:
        count = min(_BLOCK, self._end - position)
        if count <= 0:
            return b""
        self._stream.seek(position)
        block = self._stream.read(count) or b""
        for place, replacement in self._patches:
            first, last = max(place, position), min(place + len(replacement), position + len(block))
            if first < last:
                new = replacement[first - place : last - place]
                block = block[: first - position] + new + block[last - position :]
        return block
