"""Opening a context of llama.cpp, and what is asked of the cache in it."""

from __future__ import annotations

from typing import NamedTuple

import llama_cpp

from ...bundle.manifest import BackboneConfig
from ...errors import NoMemoryError
from ..machine.gpu import gpu_layers
from ..machine.placement import Placement
from ..machine.runtime_options import RuntimeOptions
from .abort import AbortFlag
from .hidden import HiddenStates
from .log import complaints

__all__ = ["OpenedContext", "cells_of", "cut", "free_context", "largest_batch", "open_context"]

_CPU_BATCH, _GPU_BATCH = 256, 512
"""Positions that llama.cpp evaluates at once. A processor gains little beyond 128, but 30 s of
sound, 188 patches, are one batch so, instead of a good one and a small, slow one."""
_KV_TYPES = {
    "f32": llama_cpp.GGML_TYPE_F32,
    "f16": llama_cpp.GGML_TYPE_F16,
    "q8_0": llama_cpp.GGML_TYPE_Q8_0,
}
_OFF, _ON, _AS_LLAMA_CPP_LIKES = 0, 1, -1


class OpenedContext(NamedTuple):
    """llama.cpp's objects."""

    context: int
    memory: int
    batch: int
    flag: AbortFlag


def largest_batch(options: RuntimeOptions, cells: int) -> int:
    """Positions that are evaluated at once in a cache of so many."""
    return min(_GPU_BATCH if gpu_layers(options) else _CPU_BATCH, cells)


def open_context(
    model: int,
    cells: int,
    batch: int,
    options: RuntimeOptions,
    placement: Placement,
    config: BackboneConfig,
    hidden: HiddenStates,
) -> OpenedContext:
    """A context of a model with room for so many positions, evaluated in such batches.

    Raises:
        MimoEdgeError: there is not enough memory for it.
    """
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = cells
    params.n_batch = params.n_ubatch = batch
    params.n_seq_max = options.conversations
    params.kv_unified = True  # one cache for all sequences, instead of an equal part for each
    params.n_threads = params.n_threads_batch = placement.threads
    kv_type = options.kv_type_for(config)
    params.type_k = params.type_v = _KV_TYPES[kv_type]
    params.flash_attn_type = _flash_attention(options, kv_type)
    params.embeddings = False
    params.offload_kqv = gpu_layers(options) != 0
    params.no_perf = True
    hidden.install(params)
    with complaints() as said:
        context = llama_cpp.llama_init_from_model(model, params)
    if not context:
        where = f"on {options.device} " if gpu_layers(options) else ""
        raise NoMemoryError(
            f"no memory {where}for a context of {cells} positions ({said.first}); "
            "give a smaller one, or close other programs."
        )
    memory = llama_cpp.llama_get_memory(context)
    flag = AbortFlag()
    flag.watch(context)
    return OpenedContext(context, memory, llama_cpp.llama_batch_ext_init(context), flag)


def _flash_attention(options: RuntimeOptions, kv_type: str) -> int:
    """Whether to compute attention in one operator.

    On a processor its plain products are faster: with 4096 positions of the released model a step
    takes a quarter less, a prompt a third. Only they do not take quantized values.
    """
    if options.flash_attention is not None:
        return _ON if options.flash_attention else _OFF
    if gpu_layers(options):
        return _AS_LLAMA_CPP_LIKES
    return _ON if kv_type == "q8_0" else _OFF


def free_context(opened: OpenedContext) -> None:
    """Free all of it."""
    llama_cpp.llama_batch_ext_free(opened.batch)
    llama_cpp.llama_free(opened.context)
    opened.flag.free()


def cells_of(opened: OpenedContext, sequence: int) -> int:
    """Positions of a sequence in the cache, as llama.cpp counts them."""
    return int(llama_cpp.llama_memory_seq_pos_max(opened.memory, sequence)) + 1


def cut(opened: OpenedContext, sequence: int, kept: int) -> None:
    """Forget everything of a sequence from position `kept` on."""
    if kept < cells_of(opened, sequence) and not llama_cpp.llama_memory_seq_rm(
        opened.memory, sequence, kept, -1
    ):
        raise RuntimeError(f"llama.cpp cannot cut sequence {sequence} at {kept}")
