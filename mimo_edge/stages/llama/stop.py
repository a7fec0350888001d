"""Ends llama.cpp's computation behind the hidden state, where nobody wants the logits.

llama.cpp always computes the head for a position that has an output. But it can be given a
callback that it asks for each operation, before it computes any, whether its result is to be
looked at. It computes up to the first such operation, calls again, and on False leaves the rest.
The hidden state can then be read as usual; the logits in llama.cpp's memory are old ones.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import llama_cpp

from .native_callbacks import native_callback

__all__ = ["BackboneStop"]

_HIDDEN_STATE = (b"result_embd_pooled", b"result_norm")
"""What llama.cpp calls the hidden state after the final norm, with and without embeddings asked
for. Behind it comes only the head."""


class BackboneStop:
    """The callback of one context, which must not live longer than this."""

    def __init__(self, *, installed: bool) -> None:
        """If it is not `installed`, llama.cpp computes everything in any case."""
        self._installed = installed
        self._early = False
        if installed:
            self._name = _find_name()
            self._callback = llama_cpp.ggml_backend_sched_eval_callback(self.look)

    def install(self, params: Any) -> None:
        """Make it that of the context that will be made with these parameters."""
        if self._installed:
            params.cb_eval = self._callback

    def begin(self, *, early: bool) -> None:
        """Make ready for an evaluation; `early`: it is to end behind the hidden state."""
        self._early = early

    @native_callback
    def look(self, tensor: int, ask: bool, _: int) -> bool:
        """llama.cpp calls it a thousand times for a step: half a millisecond in all."""
        return ask and self._early and self._name(tensor) in _HIDDEN_STATE


def _find_name() -> Any:
    """ggml's function that tells the name of a tensor.

    It is in a library that llama.cpp's brings along. On Linux and macOS a search in the one finds
    what is in the other; on Windows each is searched by itself.
    """
    library = llama_cpp.llama_cpp._lib
    if not hasattr(library, "ggml_get_name"):
        library = ctypes.CDLL(str(Path(library._name).with_name("ggml-base.dll")))
    function = library.ggml_get_name
    function.argtypes, function.restype = [ctypes.c_void_p], ctypes.c_char_p
    return function
