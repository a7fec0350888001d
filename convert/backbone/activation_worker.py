"""The process activations are measured in: `python -m convert.backbone.activation_worker`.

llama.cpp's scheduler shows every node of its graph to a callback, which may ask for the node to be
computed before those behind it and then look at its values. Only functions are used for that, none
of the structures inside llama.cpp, which change from version to version. Batches are large, since
each reads all of the model, which may be larger than the memory.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import llama_cpp
import numpy as np
from numpy.typing import NDArray

from mimo_edge.stages.llama.libraries import load_libraries

from .ggml import node_bytes, node_name, node_values
from .worker import serve_request

__all__: list[str] = []

_BATCH = 512
"""Positions, each with all of its logits in memory: 310 MB with the released vocabulary."""
_INPUTS = {
    "attn_norm": ("attn_q", "attn_k", "attn_v"),
    "kqv_out": ("attn_output",),
    "ffn_norm": ("ffn_gate", "ffn_up"),
    "ffn_swiglu": ("ffn_down",),
}
"""llama.cpp's name of a node, before a dash and the layer → matrices that it is multiplied with."""
_LAST = ("result_norm", "result_embd_pooled")
"""What the head is multiplied with, which has no layer: the second where embeddings are wanted."""


class _Collector:
    """Weighted sums of squares of each column of the nodes that are matrices' inputs."""

    def __init__(self) -> None:
        self.sums: dict[str, NDArray[np.float64]] = {}
        """By node."""
        self.weights = np.zeros(0, np.float32)
        """Of the positions in the batch that is being computed."""
        self.error: Exception | None = None
        """What went wrong in a callback, which cannot raise it."""

    def __call__(self, node: int, ask: bool, _: int | None) -> bool:
        """llama.cpp's callback: whether the node is wanted, then that its values are there."""
        name = node_name(node)
        if name.partition("-")[0] not in _INPUTS and name not in _LAST:
            return not ask
        if not ask:
            try:
                self._add(name, node)
            except Exception as error:  # C code is above: it would be lost
                self.error = error
                return False
        return True

    def _add(self, name: str, node: int) -> None:
        size, count = node_bytes(node), len(self.weights)
        if size % (4 * count):
            raise ValueError(f"{name} has {size} bytes for {count} positions")
        values = node_values(node, (count, size // 4 // count))
        sums = np.einsum("p,pc,pc->c", self.weights, values, values, dtype=np.float64)
        self.sums[name] = self.sums.get(name, 0) + sums


def _measure(request: dict[str, Any]) -> int:
    with np.load(request["rows"]) as rows:
        embeddings, weights, lengths = (rows[n] for n in ("embeddings", "weights", "lengths"))
    collector = _Collector()
    load_libraries()
    llama_cpp.llama_backend_init()
    context = _open(request, collector)
    done = 0
    for batch in _batches(lengths):
        part = slice(done, done + sum(batch))
        collector.weights = weights[part]
        _evaluate(context, embeddings[part], batch)
        if collector.error is not None:
            raise collector.error
        done = part.stop
        os.write(1, f"[positions {done}/{len(weights)}]\n".encode())
    if missing := _missing(collector.sums):
        # A newer llama.cpp may name its nodes otherwise.
        raise ValueError(f"llama.cpp has no node {missing!r}")
    _write(collector.sums, float(weights.sum()), Path(request["out"]))
    return 0


def _open(request: dict[str, Any], collector: _Collector) -> Any:
    params = llama_cpp.llama_model_default_params()
    params.n_gpu_layers = 0
    # Otherwise products of many positions go to any GPU that llama.cpp finds.
    no_devices = (ctypes.c_void_p * 1)(None)
    params.devices = ctypes.cast(no_devices, ctypes.c_void_p)
    params.use_extra_bufts = False  # weights stay where they are mapped
    model = llama_cpp.llama_model_load_from_file(request["model"].encode(), params)
    if not model:
        raise ValueError("the model does not load")
    threads = request["threads"] or os.cpu_count() or 1
    options = llama_cpp.llama_context_default_params()
    options.n_ctx = options.n_batch = options.n_ubatch = _BATCH
    options.n_seq_max = 64
    options.kv_unified = True
    options.embeddings = True  # else only the last position would go through the last layer
    options.n_threads = options.n_threads_batch = threads
    callback = llama_cpp.ggml_backend_sched_eval_callback(collector)
    _KEPT.append(callback)
    options.cb_eval = callback
    context = llama_cpp.llama_init_from_model(model, options)
    if not context:
        raise MemoryError("out of memory for a context")
    return context


_KEPT: list[Any] = []
"""What llama.cpp holds a pointer to, as long as the process lives."""


def _batches(lengths: NDArray[np.int64]) -> Iterator[list[int]]:
    """Lengths of passages that fit one batch; a longer passage is cut into several."""
    batch: list[int] = []
    for length in lengths.tolist():
        while length:
            part = min(length, _BATCH)
            if batch and (sum(batch) + part > _BATCH or len(batch) == 64):
                yield batch
                batch = []
            batch.append(part)
            length -= part
    if batch:
        yield batch


def _evaluate(context: Any, embeddings: NDArray[np.float32], lengths: list[int]) -> None:
    """Evaluate passages from their beginnings, side by side in one batch."""
    llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
    count, width = embeddings.shape
    batch = llama_cpp.llama_batch_init(count, width, 1)
    try:
        batch.n_tokens = count
        np.ctypeslib.as_array(batch.embd, (count * width,))[:] = embeddings.reshape(-1)
        at = 0
        for sequence, length in enumerate(lengths):
            for position in range(length):
                batch.pos[at] = position
                batch.n_seq_id[at] = 1
                batch.seq_id[at][0] = sequence
                batch.logits[at] = True
                at += 1
        if status := llama_cpp.llama_decode(context, batch):
            raise ValueError(f"llama_decode ends with status {status}")
    finally:
        llama_cpp.llama_batch_free(batch)


def _missing(sums: dict[str, NDArray[np.float64]]) -> str | None:
    """A node that every model has, and that was not seen."""
    if not any(name in sums for name in _LAST):
        return _LAST[0]
    return next((f"{name}-0" for name in _INPUTS if f"{name}-0" not in sums), None)


def _write(sums: dict[str, NDArray[np.float64]], weight: float, out: Path) -> None:
    writer = gguf.GGUFWriter(None, "imatrix")
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", ["speech"])
    for node, values in sums.items():
        kind, _, layer = node.partition("-")
        names = [f"blk.{layer}.{part}.weight" for part in _INPUTS.get(kind, ())]
        for name in names or ["output.weight"]:
            mean = (values / weight).astype(np.float32)
            writer.add_tensor(f"{name}.in_sum2", mean[None])
            writer.add_tensor(f"{name}.counts", np.ones((1, 1), np.float32))
    writer.write_header_to_file(out)
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    sys.exit(serve_request(_measure))
