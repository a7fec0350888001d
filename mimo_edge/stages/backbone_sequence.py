"""One conversation of the backbone: a KV cache in llama.cpp that grows and is cut at its end."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import NamedTuple

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from ..bundle.manifest import BackboneConfig
from ..errors import MimoEdgeError
from ..system.spare_cores import SpareCores
from .damage import check_numbers, check_scores
from .gpu import gpu_layers
from .llama_log import first_complaint, redirect_log
from .native import Native
from .placement import CoreShares
from .runtime_options import RuntimeOptions

__all__ = ["BackboneOutput", "BackboneSequence"]

_CPU_BATCH, _GPU_BATCH = 128, 512
"""Positions that llama.cpp evaluates at once in a prompt. A processor gains little beyond 128,
and between two batches Ctrl-C is heard."""

_KV_TYPES = {
    "f32": llama_cpp.GGML_TYPE_F32,
    "f16": llama_cpp.GGML_TYPE_F16,
    "q8_0": llama_cpp.GGML_TYPE_Q8_0,
}
_FLASH_ATTENTION = {None: -1, False: 0, True: 1}
_SEQUENCE = 0
_FLOATS = ctypes.POINTER(ctypes.c_float)


@dataclass(frozen=True, kw_only=True)
class BackboneOutput:
    """What the backbone says after the last position."""

    logits: NDArray[np.float32]
    """[vocabulary] of the next text token."""
    hidden: NDArray[np.float32]
    """[hidden] after the final norm, for the patch decoder."""


class _Context(NamedTuple):
    """llama.cpp's objects for one sequence."""

    context: int
    memory: int
    batch: int


class BackboneSequence:
    """One KV cache. Positions are appended at its end and can be cut off there."""

    def __init__(
        self,
        model: Native[int],
        config: BackboneConfig,
        context: int,
        options: RuntimeOptions,
        shares: CoreShares,
        spare_cores: SpareCores,
    ) -> None:
        """An empty cache of `context` positions.

        Raises:
            MimoEdgeError: there is not enough memory for it, or the model is closed.
        """
        with model.use() as weights:
            self._opened = Native(
                _open_context(weights, context, options, shares),
                _free,
                closed="the conversation is closed; begin another one.",
                owner=model,
            )
        self._config = config
        self._shares = shares
        self._spare_cores = spare_cores
        self._largest_batch = _largest_batch(context, options)
        self.context = context
        """Positions that fit."""

    def check_open(self) -> None:
        """Refuse a sequence that was closed, or whose model was.

        Raises:
            MimoEdgeError: it was.
        """
        self._opened.check()

    @property
    def length(self) -> int:
        """Positions in the cache."""
        with self._opened.use() as opened:
            return _length(opened)

    def extend(self, embeddings: NDArray[np.float32]) -> BackboneOutput:
        """Append positions and evaluate them; the output is that of the last one.

        Text tokens come as their embeddings too (`TokenEmbeddings`): llama.cpp takes no
        tokens and embeddings in one batch, and a prompt alternates between them every five
        positions. Only the last position computes logits.

        Args:
            embeddings: float32 [positions, hidden], at least one position.

        Raises:
            MimoEdgeError: the context is full, or llama.cpp fails.
        """
        rows = np.ascontiguousarray(embeddings, dtype=np.float32)
        self.check_room(self.length + len(rows))
        # The last position goes alone: where a hidden state is asked for, llama.cpp computes
        # the logits of every position of the batch, whatever the batch asks for.
        self.feed(rows[:-1])
        output = self._evaluate(rows[-1:], output=True)
        assert output is not None
        return output

    def feed(self, embeddings: NDArray[np.float32]) -> None:
        """Append positions, maybe none, without an output; otherwise as `extend`."""
        rows = np.ascontiguousarray(embeddings, dtype=np.float32)
        self.check_room(self.length + len(rows))
        for start in range(0, len(rows), self._largest_batch):
            self._evaluate(rows[start : start + self._largest_batch], output=False)

    def check_room(self, positions: int) -> None:
        """Refuse a sequence that would grow to this many positions and does not fit.

        Raises:
            MimoEdgeError: it is longer than the context.
        """
        if positions > self.context:
            raise MimoEdgeError(
                f"{positions} positions do not fit the context of {self.context}; "
                f"give a larger context (at most {self._config.max_positions}) or "
                "shorter audio."
            )

    def truncate(self, length: int) -> None:
        """Forget everything from position `length` on."""
        with self._opened.use() as opened:
            _truncate(opened, length)

    def save(self) -> bytes:
        """The cache as bytes, for `restore` with the same model and options."""
        with self._opened.use() as (context, _, _):
            size = llama_cpp.llama_state_seq_get_size(context, _SEQUENCE)
            buffer = (ctypes.c_uint8 * size)()
            written = llama_cpp.llama_state_seq_get_data(context, buffer, size, _SEQUENCE)
        if written != size:
            raise RuntimeError(f"llama.cpp saved {written} of {size} bytes")
        return bytes(buffer)

    def restore(self, data: bytes, length: int) -> bool:
        """Put back what `save` gave for `length` positions; False if llama.cpp refuses it."""
        buffer = (ctypes.c_uint8 * len(data)).from_buffer_copy(data)
        with self._opened.use() as opened:
            _truncate(opened, 0)
            read = llama_cpp.llama_state_seq_set_data(opened.context, buffer, len(data), _SEQUENCE)
            restored = bool(read == len(data) and _length(opened) == length)
            if not restored:
                llama_cpp.llama_memory_seq_rm(opened.memory, _SEQUENCE, -1, -1)
        return restored

    def close(self) -> None:
        """Free the cache."""
        self._opened.close()

    def _evaluate(self, rows: NDArray[np.float32], *, output: bool) -> BackboneOutput | None:
        """Evaluate one batch; with `output` it is one position, whose results are given.

        Ctrl-C that arrives meanwhile is raised right behind the call of llama.cpp, so nothing
        here may count positions: how many there are is asked each time.
        """
        with self._opened.use() as opened:
            context, memory, batch = opened
            length = _length(opened)
            threads = self._shares.threads
            if self._shares.makes_way:
                threads = self._spare_cores.spare(threads)
            llama_cpp.llama_set_n_threads(context, threads, threads)
            llama_cpp.llama_set_embeddings(context, output)
            self._fill(batch, rows, length, output)
            redirect_log()
            status = llama_cpp.llama_process(context, llama_cpp.LLAMA_PROCESS_TYPE_DECODE, batch)
            self._spare_cores.ran()
            if status:
                llama_cpp.llama_memory_seq_rm(memory, _SEQUENCE, length, -1)
                raise MimoEdgeError(
                    f"llama.cpp could not evaluate {len(rows)} positions (status {status}: "
                    f"{first_complaint()}); give a smaller context or free some memory."
                )
            return self._output(context) if output else None

    def _fill(self, batch: int, rows: NDArray[np.float32], length: int, output: bool) -> None:
        """Make the batch of `rows`, which follow `length` positions."""
        llama_cpp.llama_batch_ext_clear(batch)
        for offset, row in enumerate(rows):
            data = row.ctypes.data_as(_FLOATS)
            embedding = llama_cpp.llama_embd(data, 1, self._config.hidden_size)
            index = int(llama_cpp.llama_batch_ext_add_embd(batch, _SEQUENCE, embedding))
            if index != offset:
                raise RuntimeError(f"llama.cpp refuses position {offset} of a batch ({index})")
            position = llama_cpp.llama_pos(length + offset)
            llama_cpp.llama_batch_ext_set_pos(batch, index, ctypes.byref(position))
            llama_cpp.llama_batch_ext_set_output_logits(batch, index, output)

    def _output(self, context: int) -> BackboneOutput:
        logits = llama_cpp.llama_get_logits_ith(context, 0)
        hidden = llama_cpp.llama_get_embeddings_ith(context, 0)
        if not logits or not hidden:
            raise RuntimeError("llama.cpp gives no output for the last position")
        output = BackboneOutput(
            logits=np.ctypeslib.as_array(logits, (self._config.vocab_size,)).copy(),
            hidden=np.ctypeslib.as_array(hidden, (self._config.hidden_size,)).copy(),
        )
        check_numbers("language model", output.hidden)
        check_scores("language model", output.logits)
        return output


def _open_context(
    model: int, positions: int, options: RuntimeOptions, shares: CoreShares
) -> _Context:
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = positions
    params.n_batch = params.n_ubatch = _largest_batch(positions, options)
    params.n_seq_max = 1
    params.n_threads = params.n_threads_batch = shares.threads
    params.type_k = params.type_v = _KV_TYPES[options.kv_type]
    params.flash_attn_type = _FLASH_ATTENTION[options.flash_attention]
    params.embeddings = False
    params.offload_kqv = gpu_layers(options) != 0
    params.no_perf = True
    redirect_log()
    context = llama_cpp.llama_init_from_model(model, params)
    if not context:
        raise MimoEdgeError(
            f"no memory for a context of {positions} positions ({first_complaint()}); "
            "give a smaller one, or close other programs."
        )
    memory = llama_cpp.llama_get_memory(context)
    return _Context(context, memory, llama_cpp.llama_batch_ext_init(context))


def _free(opened: _Context) -> None:
    llama_cpp.llama_batch_ext_free(opened.batch)
    llama_cpp.llama_free(opened.context)


def _length(opened: _Context) -> int:
    """Positions in the cache, as llama.cpp counts them."""
    return int(llama_cpp.llama_memory_seq_pos_max(opened.memory, _SEQUENCE)) + 1


def _truncate(opened: _Context, length: int) -> None:
    if length < _length(opened) and not llama_cpp.llama_memory_seq_rm(
        opened.memory, _SEQUENCE, length, -1
    ):
        raise RuntimeError(f"llama.cpp cannot cut the cache at {length}")


def _largest_batch(positions: int, options: RuntimeOptions) -> int:
    """Positions that are evaluated at once."""
    return min(_GPU_BATCH if gpu_layers(options) else _CPU_BATCH, positions)
