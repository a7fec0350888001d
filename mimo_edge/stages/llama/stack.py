"""A small Qwen2 stack in llama.cpp: rows of embeddings in, the rows of its head out.

Patch encoder and patch decoder are such stacks. As GGUF files they run wherever llama.cpp does: on
a GPU beside the backbone, or on the processor. Several sequences are evaluated in one batch, and
forgotten as a whole before the next ones, which moves no memory.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from ...bundle.qwen2_gguf import Qwen2Shape
from ...errors import NoMemoryError
from ...system.spare_cores import SpareCores
from ..machine.gpu import does_not_load, load_model
from ..machine.placement import Placement
from ..machine.runtime_options import RuntimeOptions
from .libraries import load_libraries
from .log import complaints
from .native import Native

__all__ = ["PatchStack"]

_FLOATS = ctypes.POINTER(ctypes.c_float)
_LEAST_CELLS = 256
"""Positions of the cache are always a multiple of it: so many are looked at in any case."""
_MOST_FOR_NOTHING = 64
"""Sequences; each takes a little memory for the logits of one position."""
_SEPARATE, _FUSED = 0, 1
"""Attention as operators of their own, or as one. On a processor the one leaves out the cells of
the cache that hold nothing: 250 of 256 in the middle of a patch, over which the others take a third
of a patch's time. But it rounds to half precision, and on most GPUs it knows no heads of 16."""

Evaluate = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""The next positions of all sequences, float32 [sequences, positions, width] → what the head says
after each, float32 [sequences, positions, vocabulary], which the next call overwrites."""


@dataclass
class _Held:
    """llama.cpp's objects of one stack."""

    model: int
    context: int | None = None
    """With a cache for `most` sequences; None before the first use."""
    batch: int | None = None
    most: int = 0

    def free_context(self) -> None:
        context, batch = self.context, self.batch
        self.context = self.batch = None
        self.most = 0
        if context is not None:
            llama_cpp.llama_batch_ext_free(batch)
            llama_cpp.llama_free(context)

    def free(self) -> None:
        self.free_context()
        llama_cpp.llama_model_free(self.model)


class PatchStack:
    """The weights of one GGUF and, from the first use on, one cache for as many sequences as were
    ever evaluated together."""

    def __init__(
        self,
        held: Native[_Held],
        shape: Qwen2Shape,
        placement: Placement,
        spare_cores: SpareCores,
        *,
        at_once: int,
    ) -> None:
        self._held = held
        self._shape = shape
        self._placement = placement
        self._spare_cores = spare_cores
        self._at_once = at_once

    @classmethod
    def load(
        cls,
        path: Path,
        shape: Qwen2Shape,
        placement: Placement,
        spare_cores: SpareCores,
        *,
        at_once: int,
    ) -> PatchStack:
        """Map a GGUF into memory; if `placement` says so, copy it to the GPU or lay it out anew.

        `shape` is what the checks of the file found; `at_once` is how many positions of a
        sequence are evaluated at once. Whether they see only those before, the file says.

        Raises:
            MimoEdgeError: llama.cpp refuses it.
        """
        load_libraries()
        llama_cpp.llama_backend_init()
        params = llama_cpp.llama_model_default_params()
        params.use_extra_bufts = placement.repack
        if placement.repack:
            # The mapped file would stay in memory beside the repacked weights: a second copy.
            params.load_mode = llama_cpp.LLAMA_LOAD_MODE_NONE
        options = RuntimeOptions(device=placement.device)
        with complaints() as said:
            model = load_model(path, params, options)
        if not model:
            raise does_not_load(path, said.first, options)
        held = Native(_Held(model), _Held.free, closed="the model is closed; load it again.")
        stack = cls(held, shape, placement, spare_cores, at_once=at_once)
        if placement.device != "cpu":
            stack._try()
        return stack

    def _try(self) -> None:
        """Allocate the cache, so that a GPU without memory for it is known before it is needed.

        Raises:
            MimoEdgeError: there is none; nothing stays loaded then.
        """
        try:
            with self.begin(1):
                pass
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def begin(self, sequences: int) -> Iterator[Evaluate]:
        """A function that evaluates the next positions of so many new sequences.

        Another thread that begins some waits until the block ends.

        Raises:
            MimoEdgeError: there is not enough memory, or the model is closed.
        """
        with self._held.use() as held:
            if sequences > held.most:
                self._make_room(held, sequences)
            memory = llama_cpp.llama_get_memory(held.context)
            llama_cpp.llama_memory_clear(memory, False)  # forgets, and overwrites nothing
            done = 0

            def evaluate(rows: NDArray[np.float32]) -> NDArray[np.float32]:
                nonlocal done
                found = self._evaluate(held, rows, done)
                done += rows.shape[1]
                return found

            yield evaluate

    def close(self) -> None:
        """Free the cache and the weights, once no other thread is in a block of `begin`."""
        self._held.close()

    def _make_room(self, held: _Held, sequences: int) -> None:
        """A cache for so many sequences, and for more where that takes nothing."""
        held.free_context()
        positions = self._shape.positions
        cells = -(-sequences * positions // _LEAST_CELLS) * _LEAST_CELLS
        most = max(sequences, min(cells // positions, _MOST_FOR_NOTHING))
        held.context = self._open(held.model, cells, most)
        held.batch = llama_cpp.llama_batch_ext_init(held.context)
        held.most = most

    def _open(self, model: int, cells: int, sequences: int) -> int:
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = cells
        params.n_batch = params.n_ubatch = sequences * self._at_once
        params.n_seq_max = sequences
        params.kv_unified = True
        params.n_threads = params.n_threads_batch = self._placement.threads
        kind = llama_cpp.GGML_TYPE_F32 if self._placement.exact else llama_cpp.GGML_TYPE_F16
        params.type_k = params.type_v = kind
        fused = self._placement.device == "cpu" and not self._placement.exact
        params.flash_attn_type = _FUSED if fused else _SEPARATE
        params.embeddings = False
        params.offload_kqv = self._placement.device != "cpu"
        params.no_perf = True
        with complaints() as said:
            context = llama_cpp.llama_init_from_model(model, params)
        if not context:
            device = self._placement.device
            raise NoMemoryError(
                f"no memory {'' if device == 'cpu' else f'on {device} '}for patches, {sequences} "
                f"at once ({said.first}); answer fewer "
                "conversations at once, or close other programs."
            )
        return int(context)

    def _evaluate(self, held: _Held, rows: NDArray[np.float32], done: int) -> NDArray[np.float32]:
        """Behind `done` positions of every sequence; see `Evaluate`."""
        rows = np.ascontiguousarray(rows, dtype=np.float32)
        sequences, positions, width = rows.shape
        batch = held.batch
        llama_cpp.llama_batch_ext_clear(batch)
        for index in range(sequences * positions):
            sequence, offset = divmod(index, positions)
            data = rows[sequence, offset].ctypes.data_as(_FLOATS)
            embedding = llama_cpp.llama_embd(data, 1, width)
            added = int(llama_cpp.llama_batch_ext_add_embd(batch, sequence, embedding))
            if added != index:
                raise RuntimeError(f"llama.cpp refuses position {index} of a batch ({added})")
            position = llama_cpp.llama_pos(done + offset)
            llama_cpp.llama_batch_ext_set_pos(batch, index, ctypes.byref(position))
            llama_cpp.llama_batch_ext_set_output_logits(batch, index, True)
        threads = self._placement.threads
        if self._placement.makes_way:
            threads = self._spare_cores.spare(threads)
        llama_cpp.llama_set_n_threads(held.context, threads, threads)
        with complaints() as said:
            status = llama_cpp.llama_process(
                held.context, llama_cpp.LLAMA_PROCESS_TYPE_DECODE, batch
            )
            logits = None if status else llama_cpp.llama_get_logits(held.context)
        self._spare_cores.ran()
        if not logits:
            raise NoMemoryError(
                f"llama.cpp could not evaluate {sequences} patches (status {status}: "
                f"{said.first}); free some memory."
            )
        found: NDArray[np.float32] = np.ctypeslib.as_array(
            logits, (sequences, positions, self._shape.vocabulary)
        )
        return found
