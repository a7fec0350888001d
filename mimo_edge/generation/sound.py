"""An answer's sound, decoded in a thread of its own while the language model goes on.

Decoded in the generation's own thread, every piece of sound
would hold the language model up; onnxruntime releases Python's lock, so beside it the two share
the processor. The thread belongs to one answer and ends with it: on `close` at the latest.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInputError
from ..stages.audio_tokenizer import DecoderStream
from ..system.last_calls import call_before_end, call_no_more

__all__ = ["SoundOptions", "SoundThread", "push_sizes"]

_MOST_WAITING = 256
"""Patches (41 s of speech) by which the language model may be ahead of the sound."""

Samples = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class SoundOptions:
    """How early the sound of an answer comes, at what cost."""

    lookahead: int | None = None
    """Mel frames of 10 ms that sound waits for, so that the vocoder knows what follows; None:
    as many as it can make use of (1.6 s in the released model), for files."""
    largest_push: int = 5
    """Patches that are decoded at once. The first sound comes as soon as there can be any, then
    after 1, 2, 4 … patches up to this many. More cost less per second of speech, because the
    vocoder computes the context of each push again; 5 are what comes between two pieces of text."""
    on_samples: Callable[[Samples], None] | None = None
    """Called in the sound's thread with each chunk, float32 [n], as soon as it is decoded; there
    are no `AudioChunk` events then. It must return soon and must not call the session."""

    def __post_init__(self) -> None:
        """Refuse values without a meaning."""
        if self.lookahead is not None and self.lookahead < 0:
            raise BadInputError(f"the lookahead is {self.lookahead} mel frames; give 0 or more.")
        if self.largest_push < 1:
            raise BadInputError(f"the largest push is {self.largest_push}; give 1 patch or more.")


class SoundThread:
    """Patches in, samples out, in the same order; how they are cut does not depend on time.

    Used from one thread, which calls `push` for every patch, takes what is `ready` in between,
    and at the end either takes the rest from `finish` or drops it; `close` in any case.
    """

    def __init__(
        self,
        decoder: DecoderStream,
        group: int,
        options: SoundOptions,
        cancel: threading.Event | None = None,
    ) -> None:
        """Start the thread, which owns `decoder` from now on and stops early on `cancel`.

        `group` is the number of code steps of a patch.
        """
        self._decoder = decoder
        self._group = group
        self._options = options
        self._cancel = cancel
        self._changed = threading.Condition()
        self._waiting: deque[NDArray[np.int64]] = deque()
        self._complete = self._closed = self._ended = False
        self._chunks: queue.SimpleQueue[Samples | BaseException | None] = queue.SimpleQueue()
        # A daemon: it must not keep a program alive that ends without closing.
        self._thread = threading.Thread(target=self._run, name="mimo_edge sound", daemon=True)
        self._thread.start()
        # But it has to end before Python does.
        call_before_end(self.close)

    def push(self, patch: NDArray[np.int64]) -> None:
        """Hand over a patch [group, channels]; waits only if the sound is 41 s behind."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or len(self._waiting) < _MOST_WAITING)
            self._waiting.append(patch)
            self._changed.notify_all()

    def ready(self) -> Iterator[Samples]:
        """Chunks, float32 [n], that were decoded since the last call; does not wait.

        Raises:
            Exception: whatever went wrong in the thread, `on_samples` included.
        """
        while not self._chunks.empty() and (chunk := self._next()) is not None:
            yield chunk

    def finish(self) -> Iterator[Samples]:
        """The rest, as it is decoded, after the last patch; raises as `ready` does."""
        with self._changed:
            self._complete = True
            self._changed.notify_all()
        while (chunk := self._next()) is not None:
            yield chunk

    def close(self) -> None:
        """Drop what is not decoded yet and wait for the thread: at most one push."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        call_no_more(self.close)

    def _next(self) -> Samples | None:
        chunk = self._chunks.get()
        if chunk is None or isinstance(chunk, BaseException):
            self._chunks.put(None)  # the end stays the end, however often somebody asks
        if isinstance(chunk, BaseException):
            raise chunk
        return chunk

    def _run(self) -> None:
        try:
            for patches in self._pushes():
                self._give(self._decoder.push(np.concatenate(patches)))
            if not self._stopped():
                self._give(self._decoder.finish())
        except BaseException as error:  # raised again where the sound is asked for
            self._chunks.put(error)
        self._chunks.put(None)
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _give(self, samples: Samples) -> None:
        if not len(samples) or self._stopped():
            return
        if self._options.on_samples is not None:
            self._options.on_samples(samples)
        else:
            self._chunks.put(samples)

    def _pushes(self) -> Iterator[list[NDArray[np.int64]]]:
        """Patches to decode at once, each time waiting until there are enough."""
        for count in push_sizes(self._decoder, self._group, self._options.largest_push):
            with self._changed:
                while not (self._complete or self._closed or len(self._waiting) >= count):
                    self._changed.wait()
                patches = [self._waiting.popleft() for _ in range(min(count, len(self._waiting)))]
                self._changed.notify_all()
            if not patches or self._stopped():
                return
            yield patches

    def _stopped(self) -> bool:
        return self._closed or (self._cancel is not None and self._cancel.is_set())


def push_sizes(decoder: DecoderStream, group: int, largest: int) -> Iterator[int]:
    """Patches of `group` code steps per push, without end: the first that give sound, 1, 2, 4 …"""
    yield -(-decoder.first_steps // group) or largest
    size = 1
    while True:
        yield min(size, largest)
        size *= 2
