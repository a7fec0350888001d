"""Whether a GGUF is the backbone that a manifest describes, before llama.cpp sees it.

llama.cpp trusts a file: a number of layers of 0, a list that is too short or a tensor of a type
that an operation does not know end the process, and no Python code can catch that. So only what
the conversion writes is let through: its keys and tensors, each with the type, the shape and the
range that belong to the manifest.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .gguf_header import GgufHeader, GgufTensor
from .manifest import BackboneConfig, Manifest
from .qwen2_gguf import (
    Expected,
    Qwen2Shape,
    check_gguf,
    dimension_values,
    equal,
    tensor_complaints,
    value_complaints,
    within,
)

__all__ = ["check_backbone"]

_LONGEST_TOKEN = 4096
_CONTROL = 3
_TOKEN_TYPES = (1, _CONTROL, 5)
"""Normal, control and unused of llama.cpp's `llama_token_type`: tokens of other types would be
found inside what a user types, or be no tokens of a byte-level vocabulary."""


def check_backbone(path: Path, manifest: Manifest) -> GgufTensor:
    """Compare a GGUF's metadata and tensors with the manifest.

    Returns:
        Where the text head is: a tensor of its own, or else the token embeddings.

    Raises:
        MimoEdgeError: it cannot be read, is damaged, or belongs to another bundle.
    """

    def complaints(header: GgufHeader) -> Iterator[str]:
        # In this order: each relies on what the one before found.
        yield from value_complaints(header, _expected_values(manifest.backbone))
        yield from _vocabulary(header, manifest)
        yield from _tensors(header, manifest.backbone)

    header = check_gguf(path, complaints)
    return header.tensors.get("output.weight", header.tensors["token_embd.weight"])


def _expected_values(config: BackboneConfig) -> Expected:
    """Key → type and test of every value that the conversion writes and llama.cpp uses."""

    def anything(_: Any) -> bool:
        return True  # lists are looked at together, in `_vocabulary`

    token = within(0, config.vocab_size - 1)
    return {
        **dimension_values(_shape(config)),
        "tokenizer.ggml.model": ("STRING", equal(b"gpt2")),
        "tokenizer.ggml.pre": ("STRING", equal(b"qwen2")),
        "tokenizer.ggml.tokens": ("[STRING]", anything),
        "tokenizer.ggml.token_type": ("[INT32]", anything),
        "tokenizer.ggml.merges": ("[STRING]", anything),
        "tokenizer.ggml.bos_token_id": ("UINT32", token),
        "tokenizer.ggml.eos_token_id": ("UINT32", token),
        "tokenizer.ggml.padding_token_id": ("UINT32", token),
        "tokenizer.ggml.add_bos_token": ("BOOL", equal(False)),
    }


def _shape(config: BackboneConfig) -> Qwen2Shape:
    return Qwen2Shape(
        vocabulary=config.vocab_size,
        width=config.hidden_size,
        layers=config.layers,
        kv_heads=config.kv_heads,
        head_dim=config.head_dim,
        positions=config.max_positions,
    )


def _vocabulary(header: GgufHeader, manifest: Manifest) -> Iterator[str]:
    """Complaints about the text tokenizer; assumes that its keys are there."""
    tokens, types, merges = (
        header.values[f"tokenizer.ggml.{name}"].value for name in ("tokens", "token_type", "merges")
    )
    size = manifest.backbone.vocab_size
    if len(tokens) != size or len(types) != size:
        yield f"has {len(tokens)} tokens of {len(types)} types instead of {size}"
        return
    if len(set(tokens)) != size or b"" in tokens:
        yield "has a token twice or one without a text"
    if max(map(len, tokens)) > _LONGEST_TOKEN:
        yield f"has a token of {max(map(len, tokens))} bytes"
    if not _is_text(tokens) or not _is_text(merges):
        yield "has a token or a merge that is no text"
    if not all(b" " in merge for merge in merges):
        yield "has a merge that is no pair"
    if not np.isin(types, _TOKEN_TYPES).all():
        yield "has a token of a type that no bundle has"
    for name, token in manifest.special_tokens.items():
        if types[token] != _CONTROL:
            yield f"has {name!r} as a token of ordinary text"
        if tokens[token] != name.encode():
            yield f"has the token {tokens[token]!r:.60} where the manifest has {name!r}"


def _is_text(strings: list[bytes]) -> bool:
    """Whether each is UTF-8 without the zero that ends a string in C."""
    joined = b"\0".join(strings)
    try:
        joined.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return joined.count(b"\0") == max(0, len(strings) - 1)


def _tensors(header: GgufHeader, config: BackboneConfig) -> Iterator[str]:
    """Complaints about the table of tensors; assumes that the metadata fits."""
    yield from tensor_complaints(header, _shape(config))
    table = header.tensors["token_embd.weight"]
    if (table.kind, table.offset) != (config.embedding_type, config.embedding_offset):
        yield (
            f"has its token embeddings as {table.kind} at byte {table.offset} and not as "
            f"{config.embedding_type} at {config.embedding_offset}"
        )
