"""Looks at the hidden states in the middle of llama.cpp's computation, or ends it behind them.

llama.cpp can be given a callback that it asks for each operation, before it computes any, whether
its result is to be looked at. It computes up to the first such operation, calls again, and on False
leaves the rest. That serves two ends:

- Where nobody wants the logits, the head is not computed, which llama.cpp else always does for a
  position that has an output. The hidden state can be read as usual; the logits in llama.cpp's
  memory are old ones.
- Where llama.cpp is asked for hidden states, it takes every position of a batch for an output, and
  computes the head for all of them. So the last position of a prompt would have to be read by
  itself, and all weights once more. Asked for logits alone, it keeps to the batch; the hidden
  states that the head begins with are then copied here.
"""

from __future__ import annotations

import ctypes
from typing import Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from .fresh_cache import FreshCache
from .libraries import ggml_function
from .native_callbacks import native_callback

__all__ = ["HiddenStates"]

_NAMES = (b"result_embd_pooled", b"result_norm")
"""What llama.cpp calls the hidden states after the final norm, with and without embeddings asked
for. Behind them comes only the head."""


class HiddenStates:
    """The callback of one context, which must not live longer than this."""

    def __init__(self, *, installed: bool) -> None:
        """If it is not `installed`, llama.cpp computes everything in any case."""
        self.installed = installed
        self._cache: FreshCache | None = None
        self._ends = False
        self._copied: NDArray[np.float32] | None = None
        self.was_copied = False
        if installed:
            pointer, size = ctypes.c_void_p, ctypes.c_size_t
            self._name = ggml_function("ggml_get_name", ctypes.c_char_p, pointer)
            self._bytes = ggml_function("ggml_nbytes", size, pointer)
            self._copy = ggml_function(
                "ggml_backend_tensor_get", None, pointer, pointer, size, size
            )
            self._callback = llama_cpp.ggml_backend_sched_eval_callback(self.look)

    def install(self, params: Any) -> None:
        """Make it that of the context that will be made with these parameters."""
        if self.installed:
            params.cb_eval = self._callback

    def begin(
        self,
        *,
        end: bool = False,
        copied: NDArray[np.float32] | None = None,
        cache: FreshCache | None = None,
    ) -> None:
        """Make ready for an evaluation.

        Args:
            end: whether it is to end behind the hidden states.
            copied: where they are copied to as it goes on, float32 [outputs, hidden].
            cache: is shown all operations.
        """
        self._ends, self._copied, self.was_copied = end, copied, False
        self._cache = cache

    @native_callback
    def look(self, tensor: int, ask: bool, _: int) -> bool:
        """llama.cpp calls it a thousand times for a step: half a millisecond in all."""
        if ask:
            if self._cache is not None:
                self._cache.look(tensor)
            wanted = self._ends or self._copied is not None
            return wanted and self._name(tensor) in _NAMES
        if self._copied is not None:
            target = self._copied.ctypes.data_as(ctypes.c_void_p)
            # ggml would end the process if there were fewer.
            if self._bytes(tensor) == self._copied.nbytes:
                self._copy(tensor, target, 0, self._copied.nbytes)
                self.was_copied = True
        return not self._ends
