"""Memory of a new KV cache that no position was written to yet, left to the system until one is.

llama.cpp allocates the cache for all positions and fills it with zeros, by which it is in memory
from then on, though most conversations are short: 604 MB for 4,096 positions of the released model.
Pages that are given back are zeros again when they are touched. (Of the keys, those of a position
lie together. Without flash attention the values lie channel by channel, 8 KB each with 4,096
positions: they come to a half with the first position and to the other half with the 2,049th.)
"""

from __future__ import annotations

import ctypes
from typing import Any

from ...bundle.manifest import BackboneConfig
from ...system.mapped_pages import let_go_of_zeros
from ..machine.machine_needs import KV_BYTES
from ..machine.runtime_options import RuntimeOptions
from .libraries import ggml_function

__all__ = ["FreshCache"]

_WRITES_ROWS = b"SET_ROWS"
"""The operation that writes to the cache. Its result is the cache of a layer, keys or values."""
_PADDED = 256
"""llama.cpp rounds the number of positions up to a multiple of it."""


class FreshCache:
    """The cache of a context on the processor, until it was written to for the first time."""

    def __init__(self, config: BackboneConfig, options: RuntimeOptions) -> None:
        positions = -(-options.cache_for(config) // _PADDED) * _PADDED
        numbers = config.kv_heads * config.head_dim * positions
        self._size = round(numbers * KV_BYTES[options.kv_type_for(config)])
        """Bytes of keys, or of values, of one layer."""
        self._operation = ggml_function("ggml_op_desc", ctypes.c_char_p, ctypes.c_void_p)
        self._bytes = ggml_function("ggml_nbytes", ctypes.c_size_t, ctypes.c_void_p)
        self._data = ggml_function("ggml_get_data", ctypes.c_void_p, ctypes.c_void_p)
        self._seen: set[Any] = set()

    def look(self, tensor: int) -> None:
        """Give back the memory that an operation of a planned evaluation would write to.

        `tensor` is its result, of any operation, before it is computed.
        """
        if self._operation(tensor) != _WRITES_ROWS or self._bytes(tensor) != self._size:
            return
        address = self._data(tensor)
        if address and address not in self._seen:  # what comes again was written to meanwhile
            self._seen.add(address)
            let_go_of_zeros(address, self._size)
