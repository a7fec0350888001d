"""Whether the GGUF files of patch encoder and patch decoder are those that a manifest describes.

Both are Qwen2 stacks without a text tokenizer; what llama.cpp calls the vocabulary are the rows of
the head: of the patch decoder those of all codebooks, one below the other; of the patch encoder
the projection to the backbone, cut into one piece for each step of a patch, one below the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .gguf_header import GgufHeader
from .manifest import Manifest
from .qwen2_gguf import (
    Expected,
    Qwen2Shape,
    check_gguf,
    dimension_values,
    equal,
    tensor_complaints,
    value_complaints,
)

__all__ = ["check_patch_decoder", "check_patch_encoder"]

_WIDEST, _MOST_LAYERS = 1 << 16, 512
"""What a manifest allows of the other stacks."""


def check_patch_decoder(path: Path, manifest: Manifest) -> Qwen2Shape:
    """Compare the patch decoder's GGUF with the manifest; its dimensions.

    Raises:
        MimoEdgeError: it cannot be read, is damaged, or belongs to another bundle.
    """
    patch = manifest.patch
    shape = Qwen2Shape(
        vocabulary=sum(patch.vocab_sizes),
        width=patch.local_dim,
        layers=patch.local_layers,
        kv_heads=patch.local_heads,
        head_dim=patch.local_dim // patch.local_heads,
        positions=patch.decode_steps,
    )
    check_gguf(path, lambda header: _complaints(header, shape, causal=(True,)))
    return shape


def check_patch_encoder(path: Path, manifest: Manifest) -> Qwen2Shape:
    """Compare the patch encoder's GGUF with the manifest; its dimensions.

    The manifest does not say how wide and how deep it is: the file itself does.

    Raises:
        MimoEdgeError: it cannot be read, is damaged, or belongs to another bundle.
    """
    patch = manifest.patch
    shapes: list[Qwen2Shape] = []

    def complaints(header: GgufHeader) -> Iterator[str]:
        width = _number(header, "qwen2.embedding_length")
        layers = _number(header, "qwen2.block_count")
        if not 1 <= width <= _WIDEST or width % patch.local_heads:
            yield f"has {patch.local_heads} heads in a width of {width}"
        if not 1 <= layers <= _MOST_LAYERS:
            yield f"has {layers} layers"
        shape = Qwen2Shape(
            vocabulary=patch.group_size * manifest.backbone.hidden_size,
            width=width,
            layers=layers,
            kv_heads=patch.local_heads,
            head_dim=width // patch.local_heads,
            positions=patch.group_size,
        )
        yield from _complaints(header, shape, causal=(False, True))
        shapes.append(shape)

    check_gguf(path, complaints)
    return shapes[0]


def _complaints(
    header: GgufHeader, shape: Qwen2Shape, *, causal: tuple[bool, ...]
) -> Iterator[str]:
    values: Expected = {
        **dimension_values(shape),
        "qwen2.attention.causal": ("BOOL", lambda value: value in causal),
        "tokenizer.ggml.model": ("STRING", equal(b"no_vocab")),
    }
    yield from value_complaints(header, values)
    yield from tensor_complaints(header, shape)


def _number(header: GgufHeader, key: str) -> int:
    """A whole number of the metadata; 0, which fits nowhere, if it is none."""
    value: Any = header.values[key].value if key in header.values else 0
    return value if isinstance(value, int) else 0
