"""llama.cpp's context: one KV cache that several sequences share, and the way to evaluate them."""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable, Sequence

import llama_cpp
import numpy as np

from ...bundle.manifest import BackboneConfig
from ...errors import NoMemoryError
from ...system.spare_cores import SpareCores
from ..machine.gpu import gpu_layers
from ..machine.placement import Placement
from ..machine.runtime_options import RuntimeOptions
from .abort import EvaluationStopped, run_aside
from .batch import BackboneOutput, Rows, fill_batch, read_outputs
from .fresh_cache import FreshCache
from .hidden import HiddenStates
from .log import complaints
from .native import Native
from .opening import (
    OpenedContext,
    cells_of,
    cut,
    free_context,
    largest_batch,
    open_context,
)

__all__ = ["BackboneContext"]

_ABORTED = 2
"""What llama.cpp returns where a flag ended it."""


class BackboneContext:
    """One llama.cpp context of a model, with numbered sequences in one KV cache.

    A sequence takes cells of the cache only for the positions that it holds.
    """

    def __init__(
        self,
        model: Native[int],
        config: BackboneConfig,
        options: RuntimeOptions,
        placement: Placement,
        spare_cores: SpareCores,
        *,
        looks_inside: bool = False,
    ) -> None:
        """Allocate the cache: `options.cache_for(config)` positions.

        With `looks_inside`, llama.cpp shows its hidden states on the way (see `HiddenStates`). In a
        large model an output without logits then takes an eighth less time, and the last position
        of a prompt hardly any; all others take half a millisecond more.

        Raises:
            MimoEdgeError: there is not enough memory for it, or the model is closed.
        """
        self.cells = options.cache_for(config)
        """Positions that all sequences hold together."""
        self.largest_batch = largest_batch(options, self.cells)
        """Positions that are evaluated at once."""
        self._hidden = HiddenStates(installed=looks_inside)
        with model.use() as weights:
            opened = open_context(
                weights, self.cells, self.largest_batch, options, placement, config, self._hidden
            )
            self._opened = Native(
                opened, free_context, closed="the model is closed; load it again.", owner=model
            )
        self._flag = opened.flag
        self._turn = 0
        """Grows with every change of a sequence, so that a piece is not evaluated belatedly."""
        self._config = config
        self._placement = placement
        self._spare_cores = spare_cores
        self._sequences = options.conversations
        self._unused = set(range(self._sequences))
        self._given_back: deque[int] = deque()
        if looks_inside and not gpu_layers(options):
            self._leave_memory(FreshCache(config, options))

    def check_open(self) -> None:
        """Refuse a context whose model was closed.

        Raises:
            MimoEdgeError: it was.
        """
        self._opened.check()

    @property
    def free_cells(self) -> int:
        """Positions that still fit."""
        with self._opened.use() as opened:
            self._sweep(opened)
            return self.cells - sum(cells_of(opened, n) for n in range(self._sequences))

    @property
    def free_sequences(self) -> int:
        """Sequences that can be begun."""
        with self._opened.use() as opened:
            self._sweep(opened)
        return len(self._unused)

    def begin(self) -> int:
        """The number of a new, empty sequence; there must be a free one."""
        with self._opened.use() as opened:
            self._sweep(opened)
            return self._unused.pop()

    def give_back(self, sequence: int) -> None:
        """Forget a sequence, at the latest when cells are needed.

        Does not wait and calls nothing native: garbage collection may call it at any moment, even
        in the middle of an evaluation.
        """
        self._given_back.append(sequence)

    def length(self, sequence: int) -> int:
        """Positions that a sequence holds, as llama.cpp counts them."""
        with self._opened.use() as opened:
            return cells_of(opened, sequence)

    def truncate(self, sequence: int, length: int) -> None:
        """Forget everything from position `length` on."""
        with self._opened.use() as opened:
            self._turn += 1
            cut(opened, sequence, length)

    @property
    def finishes_prompts(self) -> bool:
        """Whether a batch can have outputs for some of its positions, with the hidden states."""
        return self._hidden.installed

    def feed(
        self, work: Sequence[Rows], stop: Callable[[], bool] | None = None
    ) -> list[BackboneOutput]:
        """Append positions to sequences and evaluate them in one batch; the outputs, with logits.

        Of a batch some positions may have outputs only if it `finishes_prompts`. With `stop`,
        llama.cpp works in another thread: this one hears of Ctrl-C at once, and asks `stop` now and
        then whether to give up.

        Raises:
            EvaluationStopped: `stop` said so; the sequences are as before.
            MimoEdgeError: llama.cpp fails; the sequences are as before, then.
        """
        if stop is None:
            return self._evaluate(work)
        self._opened.check()
        turn, wanted = self._turn, stop

        def look() -> None:
            if wanted():
                self._flag.put(True)

        try:
            return run_aside(lambda: self._evaluate(work, turn=turn), look)
        except BaseException:
            # Nobody waits for it any more: it ends, or is not begun, if it was not until now.
            self._turn += 1
            self._flag.put(True)
            raise

    def extend(self, work: Sequence[Rows], *, logits: bool = True) -> list[BackboneOutput]:
        """Append positions that all have outputs, and evaluate them in one batch; the outputs.

        Without `logits`, they are the hidden states alone. They are in the order of the positions,
        one sequence behind the other. All weights are read once for all of them.

        Raises:
            MimoEdgeError: llama.cpp fails; the sequences are as before, then.
        """
        return self._evaluate(work, logits=logits)

    def save(self, sequence: int) -> bytes:
        """A sequence as bytes, for `restore` with the same model and options."""
        with self._opened.use() as opened:
            size = llama_cpp.llama_state_seq_get_size(opened.context, sequence)
            buffer = (ctypes.c_uint8 * size)()
            written = llama_cpp.llama_state_seq_get_data(opened.context, buffer, size, sequence)
        if written != size:
            raise RuntimeError(f"llama.cpp saved {written} of {size} bytes")
        return bytes(buffer)

    def restore(self, sequence: int, data: bytes, length: int) -> bool:
        """Put back what `save` gave for `length` positions; False if llama.cpp refuses it."""
        buffer = (ctypes.c_uint8 * len(data)).from_buffer_copy(data)
        with self._opened.use() as opened:
            self._turn += 1
            cut(opened, sequence, 0)
            read = llama_cpp.llama_state_seq_set_data(opened.context, buffer, len(data), sequence)
            restored = bool(read == len(data) and cells_of(opened, sequence) == length)
            if not restored:
                llama_cpp.llama_memory_seq_rm(opened.memory, sequence, -1, -1)
        return restored

    def stop(self) -> None:
        """End the evaluation in progress, if there is one."""
        self._flag.put(True)

    def close(self) -> None:
        """Free the cache."""
        self._opened.close()

    def _leave_memory(self, cache: FreshCache) -> None:
        """Have an evaluation planned, which shows where the cache lies, and ended at its beginning.

        A callback sees all operations of it before any is computed.
        """
        nothing = np.zeros((1, self._config.hidden_size), dtype=np.float32)
        with self._opened.use() as opened:
            self._flag.put(True)
            try:
                fill_batch(opened.batch, [Rows(0, nothing)], [0])
                self._hidden.begin(cache=cache)
                with complaints():
                    llama_cpp.llama_process(
                        opened.context, llama_cpp.LLAMA_PROCESS_TYPE_DECODE, opened.batch
                    )
                llama_cpp.llama_memory_seq_rm(opened.memory, 0, -1, -1)
            finally:
                self._flag.put(False)

    def _sweep(self, opened: OpenedContext) -> None:
        """Empty the sequences that were given back."""
        while self._given_back:
            # Taken off the list last: Ctrl-C may come behind any line, and no number may get lost.
            sequence = self._given_back[0]
            llama_cpp.llama_memory_seq_rm(opened.memory, sequence, -1, -1)
            self._unused.add(sequence)
            self._given_back.popleft()

    def _evaluate(
        self, work: Sequence[Rows], *, logits: bool = True, turn: int | None = None
    ) -> list[BackboneOutput]:
        """Evaluate one batch, unless `turn` is over.

        Ctrl-C that arrives meanwhile is raised right behind the call of llama.cpp, so nothing
        here may count positions: how many a sequence has is asked each time.
        """
        count = sum(len(rows.embeddings) for rows in work)
        wanted = sum(rows.outputs for rows in work)
        copied = None
        if 0 < wanted < count:
            copied = np.empty((wanted, self._config.hidden_size), dtype=np.float32)
        with self._opened.use() as opened:
            if turn is not None and turn != self._turn:
                # Whoever wanted it was interrupted, and the sequences are others now.
                raise EvaluationStopped
            self._turn += 1
            self._flag.put(False)
            self._sweep(opened)
            lengths = [cells_of(opened, rows.sequence) for rows in work]
            threads = self._placement.threads
            if self._placement.makes_way:
                threads = self._spare_cores.spare(threads)
            llama_cpp.llama_set_n_threads(opened.context, threads, threads)
            # Asked for hidden states, llama.cpp computes the logits of every position of the batch,
            # whatever the batch says.
            llama_cpp.llama_set_embeddings(opened.context, wanted == count)
            places = fill_batch(opened.batch, work, lengths)
            self._hidden.begin(end=wanted == count and not logits, copied=copied)
            with complaints() as said:
                status = llama_cpp.llama_process(
                    opened.context, llama_cpp.LLAMA_PROCESS_TYPE_DECODE, opened.batch
                )
            self._spare_cores.ran()
            if status:
                for rows, length in zip(work, lengths, strict=True):
                    llama_cpp.llama_memory_seq_rm(opened.memory, rows.sequence, length, -1)
                if status == _ABORTED and turn is not None:
                    raise EvaluationStopped
                if status != _ABORTED:
                    raise NoMemoryError(
                        f"llama.cpp could not evaluate {count} positions (status {status}: "
                        f"{said.first}); give a smaller context or free some memory."
                    )
            else:
                if copied is not None and not self._hidden.was_copied:
                    raise RuntimeError("llama.cpp showed no hidden states of a batch")
                return read_outputs(opened.context, places, self._config, copied, logits=logits)
        # The flag was meant for a piece that had just come to its end, or the model was closed.
        return self._evaluate(work, logits=logits)
