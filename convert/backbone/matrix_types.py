"""In which of llama.cpp's number types each matrix of a backbone is stored.

llama.cpp's quantizer has rules of its own for that, which depend on the type that is asked for.
Here every matrix gets its type by name, so that recipes can mix types, and so that a bundle's
size is known to the byte before anything is quantized.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import gguf

__all__ = ["BACKBONE_TYPES", "BackboneType", "matrix_bytes", "matrix_types", "stores_more"]

_Kind = gguf.GGMLQuantizationType
_File = gguf.LlamaFileType

_TABLE, _HEAD = "token_embd.weight", "output.weight"
_BLOCK = 256
"""Weights that the k-quants store together."""
_FINE = (_Kind.Q5_K, _Kind.Q6_K, _Kind.Q8_0)
_NARROW = {
    _Kind.Q2_K: _Kind.Q4_0,
    _Kind.Q3_K: _Kind.Q4_0,
    _Kind.Q4_K: _Kind.Q5_0,
    _Kind.Q5_K: _Kind.Q5_1,
    _Kind.Q6_K: _Kind.Q8_0,
    _Kind.IQ4_XS: _Kind.IQ4_NL,
}
"""What llama.cpp's quantizer takes where rows are no multiple of `_BLOCK`: blocks of 32."""


@dataclass(frozen=True, kw_only=True)
class BackboneType:
    """How the matrices of a backbone are stored; biases and norms are always float32.

    `kinds` and `more` map kinds of matrices (`attn_v`, `ffn_down`, `output` and so on, as GGUF
    calls them) to number types.
    """

    file_type: gguf.LlamaFileType
    """What llama.cpp calls a file of such matrices; it says it and does nothing else with it."""
    matrices: gguf.GGMLQuantizationType
    """Of all that the two below do not name."""
    kinds: Mapping[str, gguf.GGMLQuantizationType] = field(default_factory=dict)
    more: Mapping[str, gguf.GGMLQuantizationType] = field(default_factory=dict)
    """Of the layers that suffer most, see `stores_more`."""

    @property
    def is_float(self) -> bool:
        """Whether it is written without llama.cpp's quantizer."""
        return self.matrices in (_Kind.F32, _Kind.F16, _Kind.BF16)

    @property
    def is_coarse(self) -> bool:
        """Whether it matters which columns are rounded with care: below five bits or so."""
        return not self.is_float and self.matrices not in _FINE

    def of(self, name: str, layers: int) -> gguf.GGMLQuantizationType:
        """Number type of a matrix of this name in a model of so many layers."""
        if not name.startswith("blk."):
            return self.kinds.get(name.removesuffix(".weight"), self.matrices)
        _, number, kind, _ = name.split(".")
        if kind in self.more and stores_more(int(number), layers):
            return self.more[kind]
        return self.kinds.get(kind, self.matrices)


def stores_more(layer: int, layers: int) -> bool:
    """Whether llama.cpp's mixes spend more bits on this layer.

    It does so in the first and the last eighth and in every third layer between.
    """
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def _same(file_type: gguf.LlamaFileType, kind: gguf.GGMLQuantizationType) -> BackboneType:
    return BackboneType(file_type=file_type, matrices=kind)


BACKBONE_TYPES: Mapping[str, BackboneType] = MappingProxyType(
    {
        "f32": _same(_File.ALL_F32, _Kind.F32),
        "f16": _same(_File.MOSTLY_F16, _Kind.F16),
        "bf16": _same(_File.MOSTLY_BF16, _Kind.BF16),
        "q8_0": _same(_File.MOSTLY_Q8_0, _Kind.Q8_0),
        "q6_k": _same(_File.MOSTLY_Q6_K, _Kind.Q6_K),
        "q5_k_m": BackboneType(
            file_type=_File.MOSTLY_Q5_K_M,
            matrices=_Kind.Q5_K,
            kinds={"output": _Kind.Q6_K},
            more={"attn_v": _Kind.Q6_K, "ffn_down": _Kind.Q6_K},
        ),
        "q4_k_m": BackboneType(
            file_type=_File.MOSTLY_Q4_K_M,
            matrices=_Kind.Q4_K,
            kinds={"output": _Kind.Q6_K},
            more={"attn_v": _Kind.Q6_K, "ffn_down": _Kind.Q6_K},
        ),
        "q4_k": BackboneType(
            file_type=_File.MOSTLY_Q4_K_S,
            matrices=_Kind.Q4_K,
            # The smallest matrix suffers most; of the table single rows are read.
            kinds={"attn_v": _Kind.Q6_K, "token_embd": _Kind.Q6_K},
        ),
        "q3_k": BackboneType(
            file_type=_File.MOSTLY_Q3_K_M,
            matrices=_Kind.Q3_K,
            kinds={
                "attn_v": _Kind.Q6_K,
                "token_embd": _Kind.Q6_K,
                "attn_k": _Kind.Q4_K,
                "attn_output": _Kind.Q4_K,
                "output": _Kind.Q4_K,
            },
            more={"ffn_down": _Kind.Q4_K},
        ),
        "q4_0": BackboneType(
            file_type=_File.MOSTLY_Q4_0, matrices=_Kind.Q4_0, kinds={"output": _Kind.Q6_K}
        ),
        "iq4_xs": BackboneType(
            file_type=_File.MOSTLY_IQ4_XS,
            matrices=_Kind.IQ4_XS,
            kinds={"output": _Kind.Q6_K, "attn_v": _Kind.Q5_K},
        ),
    }
)
"""What a backbone can be stored as. Those with names of llama.cpp's are the same as there. `q4_k`
and `q3_k` are this project's: what each kind of matrix costs was measured on the demo model."""


def matrix_types(
    stored: BackboneType, shapes: Mapping[str, tuple[int, ...]], layers: int
) -> dict[str, gguf.GGMLQuantizationType]:
    """GGUF name → number type, of the matrices among `shapes` [rows, columns]."""
    return {
        name: _fitting(stored.of(name, layers), shape[-1])
        for name, shape in shapes.items()
        if len(shape) > 1
    }


def matrix_bytes(
    stored: BackboneType, shapes: Mapping[str, tuple[int, ...]], layers: int
) -> dict[str, int]:
    """GGUF name → bytes, of all tensors; what is no matrix is float32."""
    types = matrix_types(stored, shapes, layers)
    sizes = {}
    for name, shape in shapes.items():
        block, size = gguf.GGML_QUANT_SIZES[types.get(name, _Kind.F32)]
        sizes[name] = math.prod(shape) // block * size
    return sizes


def _fitting(kind: gguf.GGMLQuantizationType, columns: int) -> gguf.GGMLQuantizationType:
    """The type itself, or its stand-in for rows that it does not fit."""
    return _NARROW.get(kind, kind) if columns % _BLOCK else kind
