"""What a GGUF of the architecture `qwen2` holds when the conversion wrote it.

Backbone, patch encoder and patch decoder are such files. llama.cpp trusts them, so their metadata
and their tensors are compared with what belongs to the manifest before it sees them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BadBundleError
from ..system.memory import is_memory_fault, no_memory
from .gguf_header import GgufHeader, read_header
from .number_types import NUMBER_TYPES

__all__ = [
    "Expected",
    "Qwen2Shape",
    "check_gguf",
    "dimension_values",
    "equal",
    "tensor_complaints",
    "value_complaints",
    "within",
]

_WIDEST = 1 << 20
"""Numbers in a feed-forward layer, several times what the largest models have."""
_IGNORED = ("general.", "quantize.imatrix.")
"""What begins so describes where a file is from; llama.cpp only shows it."""

Expected = Mapping[str, tuple[str, Callable[[Any], bool]]]
"""Key → type and test of its value."""


@dataclass(frozen=True, kw_only=True)
class Qwen2Shape:
    """The dimensions of a stack of Qwen2 layers, with a head behind it."""

    vocabulary: int
    """Rows of the head, and of the table of token embeddings."""
    width: int
    layers: int
    kv_heads: int
    head_dim: int
    positions: int
    """The longest sequence that it is for."""


def check_gguf(path: Path, complaints: Callable[[GgufHeader], Iterator[str]]) -> GgufHeader:
    """The header of a file that nothing is to be complained of.

    Raises:
        MimoEdgeError: it cannot be read, is no GGUF, or `complaints` has one.
    """
    try:
        header = read_header(path)
        for complaint in complaints(header):
            raise ValueError(complaint)
        return header
    except OSError as error:
        if is_memory_fault(error):
            raise no_memory(f"{path} cannot be read") from error
        raise BadBundleError(
            f"{path} cannot be read ({error.strerror or error}); copy the bundle again."
        ) from error
    except ValueError as error:
        raise BadBundleError(
            f"{path} {error}: it is damaged, or it is of another bundle; copy the bundle again or "
            "convert again."
        ) from error


def equal(wanted: object) -> Callable[[Any], bool]:
    """A test whether a value is this one."""
    return lambda value: bool(value == wanted)


def within(least: float, most: float) -> Callable[[Any], bool]:
    """A test whether a value is in a range."""
    return lambda value: least <= value <= most


def dimension_values(shape: Qwen2Shape) -> Expected:
    """The keys of the dimensions, which llama.cpp lays everything out by."""
    heads = shape.width // shape.head_dim
    return {
        "general.architecture": ("STRING", equal(b"qwen2")),
        "qwen2.context_length": ("UINT32", equal(shape.positions)),
        "qwen2.embedding_length": ("UINT32", equal(shape.width)),
        "qwen2.block_count": ("UINT32", equal(shape.layers)),
        "qwen2.feed_forward_length": ("UINT32", within(1, _WIDEST)),
        "qwen2.attention.head_count": ("UINT32", equal(heads)),
        "qwen2.attention.head_count_kv": ("UINT32", equal(shape.kv_heads)),
        "qwen2.rope.freq_base": ("FLOAT32", within(1.0, 1e12)),
        "qwen2.attention.layer_norm_rms_epsilon": ("FLOAT32", within(0.0, 0.1)),
        "qwen2.vocab_size": ("UINT32", equal(shape.vocabulary)),
    }


def value_complaints(header: GgufHeader, expected: Expected) -> Iterator[str]:
    """Complaints about the metadata, as parts of a sentence."""
    for name in header.values:
        if name not in expected and not name.startswith(_IGNORED):
            yield f"has the key {name!r}, which no bundle has"
    for name, (kind, fits) in expected.items():
        if name not in header.values:
            yield f"has no {name!r}"
            return
        found = header.values[name]
        if found.kind != kind:
            yield f"has {name!r} as {found.kind} instead of {kind}"
            return
        if not fits(found.value):
            yield f"has {name!r} {found.value!r:.60}, which does not fit the manifest"


def tensor_complaints(header: GgufHeader, shape: Qwen2Shape) -> Iterator[str]:
    """Complaints about the table of tensors; assumes that the metadata fits."""
    if shape.width % shape.head_dim or shape.head_dim % 2:
        yield f"cannot have heads of {shape.head_dim} in a width of {shape.width}"
        return
    if (shape.width // shape.head_dim) % shape.kv_heads:
        yield f"cannot share {shape.kv_heads} heads of keys among its heads"
    expected = _expected_tensors(header, shape)
    for name in (*expected, *header.tensors):
        if name not in header.tensors:
            yield f"has no tensor {name!r}"
            return
        if name not in expected:
            yield f"has the tensor {name!r}, which no bundle has"
            return
        tensor, wanted = header.tensors[name], expected[name]
        if tensor.shape != wanted:
            yield f"has {name!r} of shape {tensor.shape} instead of {wanted}"
        # llama.cpp adds biases and norms in float32 and aborts for anything else.
        if tensor.kind not in ({"F32"} if len(wanted) == 1 else NUMBER_TYPES):
            yield f"has {name!r} as {tensor.kind}"


def _expected_tensors(header: GgufHeader, shape: Qwen2Shape) -> dict[str, tuple[int, ...]]:
    """Name → shape of all tensors of such a Qwen2; a head of its own is optional."""
    width, keys = shape.width, shape.kv_heads * shape.head_dim
    feed_forward = int(header.values["qwen2.feed_forward_length"].value)
    layer = {
        "attn_norm.weight": (width,),
        "attn_q.weight": (width, width),
        "attn_q.bias": (width,),
        "attn_k.weight": (keys, width),
        "attn_k.bias": (keys,),
        "attn_v.weight": (keys, width),
        "attn_v.bias": (keys,),
        "attn_output.weight": (width, width),
        "ffn_norm.weight": (width,),
        "ffn_gate.weight": (feed_forward, width),
        "ffn_up.weight": (feed_forward, width),
        "ffn_down.weight": (width, feed_forward),
    }
    table = (shape.vocabulary, width)
    head = {"output.weight": table} if "output.weight" in header.tensors else {}
    return {
        "token_embd.weight": table,
        "output_norm.weight": (width,),
        **head,
        **{
            f"blk.{number}.{name}": wanted
            for number in range(shape.layers)
            for name, wanted in layer.items()
        },
    }
