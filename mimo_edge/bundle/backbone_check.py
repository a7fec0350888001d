"""Whether a GGUF is the backbone that a manifest describes, before llama.cpp sees it.

llama.cpp trusts a file: a number of layers of 0, a list that is too short or a tensor of a type
that an operation does not know end the process, and no Python code can catch that. So only what
the conversion writes is let through: its keys and tensors, each with the type, the shape and the
range that belong to the manifest.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BadBundleError
from ..system.memory import is_memory_fault, no_memory
from .gguf_header import GgufHeader, GgufTensor, read_header
from .manifest import BackboneConfig, Manifest
from .number_types import NUMBER_TYPES

__all__ = ["check_backbone"]

_LONGEST_TOKEN = 4096
_WIDEST = 1 << 20
"""Numbers in a feed-forward layer, several times what the largest models have."""
_CONTROL = 3
_TOKEN_TYPES = (1, _CONTROL, 5)
"""Normal, control and unused of llama.cpp's `llama_token_type`: tokens of other types would be
found inside what a user types, or be no tokens of a byte-level vocabulary."""
_IGNORED = ("general.", "quantize.imatrix.")
"""What begins so describes where a file is from; llama.cpp only shows it."""


def check_backbone(path: Path, manifest: Manifest) -> GgufTensor:
    """Compare a GGUF's metadata and tensors with the manifest.

    Returns:
        Where the text head is: a tensor of its own, or else the token embeddings.

    Raises:
        MimoEdgeError: it cannot be read, is damaged, or belongs to another bundle.
    """
    try:
        header = read_header(path)
        complaints = itertools.chain(  # in this order: each relies on what the one before found
            _values(header, manifest.backbone),
            _vocabulary(header, manifest),
            _tensors(header, manifest.backbone),
        )
        for complaint in complaints:
            raise ValueError(complaint)
        return header.tensors.get("output.weight", header.tensors["token_embd.weight"])
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


def _values(header: GgufHeader, config: BackboneConfig) -> Iterator[str]:
    """Complaints about the metadata."""
    expected = _expected_values(config)
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


def _expected_values(config: BackboneConfig) -> dict[str, tuple[str, Callable[[Any], bool]]]:
    """Key → type and test of every value that the conversion writes and llama.cpp uses."""

    def equal(wanted: object) -> Callable[[Any], bool]:
        return lambda value: bool(value == wanted)

    def within(least: float, most: float) -> Callable[[Any], bool]:
        return lambda value: least <= value <= most

    def anything(_: Any) -> bool:
        return True  # lists are looked at together, in `_vocabulary`

    heads = config.hidden_size // config.head_dim
    token = within(0, config.vocab_size - 1)
    return {
        "general.architecture": ("STRING", equal(b"qwen2")),
        "qwen2.context_length": ("UINT32", equal(config.max_positions)),
        "qwen2.embedding_length": ("UINT32", equal(config.hidden_size)),
        "qwen2.block_count": ("UINT32", equal(config.layers)),
        "qwen2.feed_forward_length": ("UINT32", within(1, _WIDEST)),
        "qwen2.attention.head_count": ("UINT32", equal(heads)),
        "qwen2.attention.head_count_kv": ("UINT32", equal(config.kv_heads)),
        "qwen2.rope.freq_base": ("FLOAT32", within(1.0, 1e12)),
        "qwen2.attention.layer_norm_rms_epsilon": ("FLOAT32", within(0.0, 0.1)),
        "qwen2.vocab_size": ("UINT32", equal(config.vocab_size)),
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
    if config.hidden_size % config.head_dim or config.head_dim % 2:
        yield f"cannot have heads of {config.head_dim} in a width of {config.hidden_size}"
        return
    if (config.hidden_size // config.head_dim) % config.kv_heads:
        yield f"cannot share {config.kv_heads} heads of keys among its heads"
    expected = _expected_tensors(header, config)
    for name in (*expected, *header.tensors):
        if name not in header.tensors:
            yield f"has no tensor {name!r}"
            return
        if name not in expected:
            yield f"has the tensor {name!r}, which no backbone has"
            return
        tensor, shape = header.tensors[name], expected[name]
        if tensor.shape != shape:
            yield f"has {name!r} of shape {tensor.shape} instead of {shape}"
        # llama.cpp adds biases and norms in float32 and aborts for anything else.
        if tensor.kind not in ({"F32"} if len(shape) == 1 else NUMBER_TYPES):
            yield f"has {name!r} as {tensor.kind}"
    table = header.tensors["token_embd.weight"]
    if (table.kind, table.offset) != (config.embedding_type, config.embedding_offset):
        yield (
            f"has its token embeddings as {table.kind} at byte {table.offset} and not as "
            f"{config.embedding_type} at {config.embedding_offset}"
        )


def _expected_tensors(header: GgufHeader, config: BackboneConfig) -> dict[str, tuple[int, ...]]:
    """Name → shape of all tensors of such a Qwen2; a text head of its own is optional."""
    hidden, keys = config.hidden_size, config.kv_heads * config.head_dim
    feed_forward = int(header.values["qwen2.feed_forward_length"].value)
    layer = {
        "attn_norm.weight": (hidden,),
        "attn_q.weight": (hidden, hidden),
        "attn_q.bias": (hidden,),
        "attn_k.weight": (keys, hidden),
        "attn_k.bias": (keys,),
        "attn_v.weight": (keys, hidden),
        "attn_v.bias": (keys,),
        "attn_output.weight": (hidden, hidden),
        "ffn_norm.weight": (hidden,),
        "ffn_gate.weight": (feed_forward, hidden),
        "ffn_up.weight": (feed_forward, hidden),
        "ffn_down.weight": (hidden, feed_forward),
    }
    table = (config.vocab_size, hidden)
    head = {"output.weight": table} if "output.weight" in header.tensors else {}
    return {
        "token_embd.weight": table,
        "output_norm.weight": (hidden,),
        **head,
        **{
            f"blk.{number}.{name}": shape
            for number in range(config.layers)
            for name, shape in layer.items()
        },
    }
