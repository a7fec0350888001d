"""GGUF's number types, as far as backbones use them."""

from __future__ import annotations

import gguf

from .manifest import BackboneConfig

__all__ = ["NUMBER_TYPES", "row_bytes", "row_length"]

NUMBER_TYPES = frozenset(
    {
        *("F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q4_0", "IQ4_XS"),
        *("Q3_K", "Q2_K", "Q5_1", "Q5_0", "Q4_1", "IQ4_NL"),  # where a width does not fit those
    }
)
"""Of the matrices of a backbone."""


def row_length(number_type: str) -> int:
    """How many numbers of this type are stored together; a row is a multiple of it."""
    return int(gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[number_type]][0])


def row_bytes(config: BackboneConfig) -> int:
    """Bytes of one token's row in the GGUF."""
    block, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[config.embedding_type]]
    return int(config.hidden_size // block * size)
