"""llama.cpp's context: one KV cache that several sequences share, and the way to evaluate them."""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from ..bundle.manifest import BackboneConfig
from ..errors import NoMemoryError
from ..system.spare_cores import SpareCores
from .backbone_stop import BackboneStop
from .gpu import gpu_layers
from .llama_log import complaints
from .native import Native
from .placement import Placement
from .runtime_options import RuntimeOptions

__all__ = ["BackboneContext", "BackboneOutput", "Rows"]

_CPU_BATCH, _GPU_BATCH = 128, 512
"""Positions that llama.cpp evaluates at once. A processor gains little beyond 128, and between
two batches Ctrl-C is heard."""
_KV_TYPES = {
    "f32": llama_cpp.GGML_TYPE_F32,
    "f16": llama_cpp.GGML_TYPE_F16,
    "q8_0": llama_cpp.GGML_TYPE_Q8_0,
}
_FLASH_ATTENTION = {None: -1, False: 0, True: 1}
_FLOATS = ctypes.POINTER(ctypes.c_float)


@dataclass(frozen=True, kw_only=True)
class BackboneOutput:
    """What the backbone says after a position."""

    logits: NDArray[np.float32]
    """[vocabulary] of the next text token; [0] where they were not asked for."""
    hidden: NDArray[np.float32]
    """[hidden] after the final norm, for the patch decoder."""

    @property
    def has_logits(self) -> bool:
        """Whether the logits were asked for."""
        return len(self.logits) > 0


class Rows(NamedTuple):
    """New positions of one sequence, by its number."""

    sequence: int
    embeddings: NDArray[np.float32]
    """float32 [positions, hidden]."""


class _Opened(NamedTuple):
    """llama.cpp's objects."""

    context: int
    memory: int
    batch: int


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
        skips_head: bool = False,
    ) -> None:
        """Allocate the cache: `options.cache_for(config)` positions.

        With `skips_head`, outputs without logits take an eighth less time in a large model, and
        all others half a millisecond more.

        Raises:
            MimoEdgeError: there is not enough memory for it, or the model is closed.
        """
        self.cells = options.cache_for(config)
        """Positions that all sequences hold together."""
        self.largest_batch = min(_GPU_BATCH if gpu_layers(options) else _CPU_BATCH, self.cells)
        """Positions that are evaluated at once."""
        self._stop = BackboneStop(installed=skips_head)
        with model.use() as weights:
            self._opened = Native(
                _open(weights, self.cells, self.largest_batch, options, placement, self._stop),
                _free,
                closed="the model is closed; load it again.",
                owner=model,
            )
        self._config = config
        self._placement = placement
        self._spare_cores = spare_cores
        self._sequences = options.conversations
        self._unused = set(range(self._sequences))
        self._given_back: deque[int] = deque()

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
            return self.cells - sum(_length(opened, n) for n in range(self._sequences))

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
            return _length(opened, sequence)

    def truncate(self, sequence: int, length: int) -> None:
        """Forget everything from position `length` on."""
        with self._opened.use() as opened:
            _truncate(opened, sequence, length)

    def feed(self, work: Sequence[Rows]) -> None:
        """Append positions to sequences and evaluate them in one batch, without an output.

        Raises:
            MimoEdgeError: llama.cpp fails; the sequences are as before, then.
        """
        self._evaluate(work, output=False)

    def extend(self, work: Sequence[Rows], *, logits: bool = True) -> list[BackboneOutput]:
        """Append positions to sequences and evaluate them in one batch; the outputs of all of them.

        Without `logits`, they are the hidden states alone.

        They are in the order of the positions, one sequence behind the other. All weights are read
        once for all of them. Positions whose output nobody wants go through `feed`: where hidden
        states are asked for, llama.cpp computes the logits of every position of the batch,
        whatever the batch says.

        Raises:
            MimoEdgeError: llama.cpp fails; the sequences are as before, then.
        """
        return self._evaluate(work, output=True, logits=logits)

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
            _truncate(opened, sequence, 0)
            read = llama_cpp.llama_state_seq_set_data(opened.context, buffer, len(data), sequence)
            restored = bool(read == len(data) and _length(opened, sequence) == length)
            if not restored:
                llama_cpp.llama_memory_seq_rm(opened.memory, sequence, -1, -1)
        return restored

    def close(self) -> None:
        """Free the cache."""
        self._opened.close()

    def _sweep(self, opened: _Opened) -> None:
        """Empty the sequences that were given back."""
        while self._given_back:
            sequence = self._given_back.popleft()
            llama_cpp.llama_memory_seq_rm(opened.memory, sequence, -1, -1)
            self._unused.add(sequence)

    def _evaluate(
        self, work: Sequence[Rows], *, output: bool, logits: bool = False
    ) -> list[BackboneOutput]:
        """Evaluate one batch.

        Ctrl-C that arrives meanwhile is raised right behind the call of llama.cpp, so nothing
        here may count positions: how many a sequence has is asked each time.
        """
        with self._opened.use() as opened:
            self._sweep(opened)
            lengths = [_length(opened, rows.sequence) for rows in work]
            threads = self._placement.threads
            if self._placement.makes_way:
                threads = self._spare_cores.spare(threads)
            llama_cpp.llama_set_n_threads(opened.context, threads, threads)
            llama_cpp.llama_set_embeddings(opened.context, output)
            count = self._fill(opened.batch, work, lengths, output)
            self._stop.begin(early=output and not logits)
            with complaints() as said:
                status = llama_cpp.llama_process(
                    opened.context, llama_cpp.LLAMA_PROCESS_TYPE_DECODE, opened.batch
                )
            self._spare_cores.ran()
            if status:
                for rows, length in zip(work, lengths, strict=True):
                    llama_cpp.llama_memory_seq_rm(opened.memory, rows.sequence, length, -1)
                raise NoMemoryError(
                    f"llama.cpp could not evaluate {count} positions (status {status}: "
                    f"{said.first}); give a smaller context or free some memory."
                )
            if not output:
                return []
            return [self._output(opened.context, n, logits) for n in range(count)]

    def _fill(self, batch: int, work: Sequence[Rows], lengths: Sequence[int], output: bool) -> int:
        """Make the batch of new positions behind so many of each sequence; how many they are."""
        llama_cpp.llama_batch_ext_clear(batch)
        count = 0
        for (sequence, embeddings), length in zip(work, lengths, strict=True):
            for offset, row in enumerate(embeddings):
                data = row.ctypes.data_as(_FLOATS)
                embedding = llama_cpp.llama_embd(data, 1, self._config.hidden_size)
                index = int(llama_cpp.llama_batch_ext_add_embd(batch, sequence, embedding))
                if index != count:
                    raise RuntimeError(f"llama.cpp refuses position {count} of a batch ({index})")
                position = llama_cpp.llama_pos(length + offset)
                llama_cpp.llama_batch_ext_set_pos(batch, index, ctypes.byref(position))
                llama_cpp.llama_batch_ext_set_output_logits(batch, index, output)
                count += 1
        return count

    def _output(self, context: int, index: int, logits: bool) -> BackboneOutput:
        hidden = llama_cpp.llama_get_embeddings_ith(context, index)
        scores = llama_cpp.llama_get_logits_ith(context, index)
        if not hidden or not scores:
            raise RuntimeError(f"llama.cpp gives no output for position {index} of a batch")
        return BackboneOutput(
            # Where they were not computed, llama.cpp gives what was in its memory before.
            logits=_copy(scores, self._config.vocab_size if logits else 0),
            hidden=_copy(hidden, self._config.hidden_size),
        )


def _copy(values: Any, count: int) -> NDArray[np.float32]:
    return np.ctypeslib.as_array(values, (count,)).copy()


def _open(
    model: int,
    cells: int,
    largest_batch: int,
    options: RuntimeOptions,
    placement: Placement,
    stop: BackboneStop,
) -> _Opened:
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = cells
    params.n_batch = params.n_ubatch = largest_batch
    params.n_seq_max = options.conversations
    params.kv_unified = True  # one cache for all sequences, instead of an equal part for each
    params.n_threads = params.n_threads_batch = placement.threads
    params.type_k = params.type_v = _KV_TYPES[options.kv_type]
    params.flash_attn_type = _FLASH_ATTENTION[options.flash_attention]
    params.embeddings = False
    params.offload_kqv = gpu_layers(options) != 0
    params.no_perf = True
    stop.install(params)
    with complaints() as said:
        context = llama_cpp.llama_init_from_model(model, params)
    if not context:
        raise NoMemoryError(
            f"no memory for a context of {cells} positions ({said.first}); "
            "give a smaller one, or close other programs."
        )
    memory = llama_cpp.llama_get_memory(context)
    return _Opened(context, memory, llama_cpp.llama_batch_ext_init(context))


def _free(opened: _Opened) -> None:
    llama_cpp.llama_batch_ext_free(opened.batch)
    llama_cpp.llama_free(opened.context)


def _length(opened: _Opened, sequence: int) -> int:
    """Positions of a sequence in the cache, as llama.cpp counts them."""
    return int(llama_cpp.llama_memory_seq_pos_max(opened.memory, sequence)) + 1


def _truncate(opened: _Opened, sequence: int, length: int) -> None:
    if length < _length(opened, sequence) and not llama_cpp.llama_memory_seq_rm(
        opened.memory, sequence, length, -1
    ):
        raise RuntimeError(f"llama.cpp cannot cut sequence {sequence} at {length}")
