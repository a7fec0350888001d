"""Backbones that llama.cpp would die of are refused before it sees them."""

from __future__ import annotations

import math
import shutil
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import gguf
import pytest

from mimo_edge.bundle.files import load_manifest
from mimo_edge.bundle.manifest import BACKBONE_FILE, Manifest
from mimo_edge.model import MimoAudio
from mimo_edge.stages.machine.runtime_options import RuntimeOptions
from tests.tools.gguf_files import (
    TensorLine,
    array_value,
    rewrite_gguf,
    scalar_value,
    string_value,
)

from .test_bad_bundle import complaint, sign


@pytest.fixture(scope="module")
def manifest(default_bundle: Path) -> Manifest:
    return load_manifest(default_bundle)


@pytest.fixture
def bundle(default_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(default_bundle, tmp_path / "bundle"))


def refused(
    bundle: Path,
    manifest: Manifest,
    values: Mapping[str, bytes | None] | None = None,
    change: Callable[[list[TensorLine]], object] | None = None,
) -> str:
    """What loading says of a backbone with these changes that the manifest describes."""
    shutil.copyfile(bundle / "original.gguf", bundle / BACKBONE_FILE)
    relative = manifest.backbone.embedding_offset - rewrite_gguf(bundle / BACKBONE_FILE)
    start = rewrite_gguf(bundle / BACKBONE_FILE, values, change)
    backbone = replace(manifest.backbone, embedding_offset=start + relative)
    sign(bundle, replace(manifest, backbone=backbone))
    text = complaint(bundle)
    assert BACKBONE_FILE in text, text
    return text


@pytest.fixture
def original(bundle: Path) -> Path:
    shutil.copyfile(bundle / BACKBONE_FILE, bundle / "original.gguf")
    return bundle


def test_a_file_that_was_only_written_again_loads(original: Path, manifest: Manifest) -> None:
    rewrite_gguf(original / BACKBONE_FILE, {"general.author": string_value(b"somebody")})
    start = gguf.GGUFReader(original / BACKBONE_FILE).tensors
    offset = next(int(t.data_offset) for t in start if t.name == "token_embd.weight")
    moved = replace(manifest.backbone, embedding_offset=offset)
    sign(original, replace(manifest, backbone=moved))
    MimoAudio.load(original, RuntimeOptions(threads=1, context=64, device="cpu")).close()


def test_metadata_that_does_not_fit(original: Path, manifest: Manifest) -> None:
    """Each number of the architecture at its edges, as another type, and missing."""
    numbers = [
        *("qwen2.context_length", "qwen2.embedding_length", "qwen2.block_count"),
        *("qwen2.feed_forward_length", "qwen2.attention.head_count", "qwen2.vocab_size"),
        *("qwen2.attention.head_count_kv", "tokenizer.ggml.bos_token_id"),
        *("tokenizer.ggml.eos_token_id", "tokenizer.ggml.padding_token_id"),
    ]
    for name in numbers:
        wrong = [2**32 - 1, 2**31, 10**6 + 1, *([] if "token_id" in name else [0, 7])]
        values = [scalar_value("UINT32", value) for value in wrong]
        values += [scalar_value("INT32", -1), scalar_value("UINT64", 4), string_value(b"4")]
        values += [array_value("UINT32", [4, 4]), array_value("STRING", [b"4"])]
        for value in (*values, None):
            text = refused(original, manifest, {name: value})
            assert name in text or (name.endswith("feed_forward_length") and "ffn" in text)
    for name in ("qwen2.rope.freq_base", "qwen2.attention.layer_norm_rms_epsilon"):
        for number in (math.nan, math.inf, -1.0, 1e30):
            assert name in refused(original, manifest, {name: scalar_value("FLOAT32", number)})


def test_another_architecture_or_tokenizer(original: Path, manifest: Manifest) -> None:
    for name, values in {
        "general.architecture": [b"llama", b"qwen3moe", b"", b"\xff", b"x" * 60_000],
        "tokenizer.ggml.model": [b"llama", b"bert", b"t5", b"none", b""],
        "tokenizer.ggml.pre": [b"default", b"", b"llama-bpe"],
    }.items():
        for value in values:
            assert name in refused(original, manifest, {name: string_value(value)})
        assert name in refused(original, manifest, {name: None})
    for name, more in {
        "general.alignment": scalar_value("UINT32", 0),
        "qwen2.expert_count": scalar_value("UINT32", 9),
        "qwen2.rope.scaling.type": string_value(b"yarn"),
        "tokenizer.ggml.scores": array_value("FLOAT32", [0.0]),
        "split.count": scalar_value("UINT32", 5),
    }.items():
        assert name in refused(original, manifest, {name: more})


def test_vocabularies_that_do_not_fit(original: Path, manifest: Manifest) -> None:
    fields = gguf.GGUFReader(original / "original.gguf").fields
    tokens = [text.encode() for text in fields["tokenizer.ggml.tokens"].contents()]
    types = list(fields["tokenizer.ggml.token_type"].contents())
    end = manifest.special_tokens["<|im_end|>"]
    swapped = [*tokens]
    swapped[end], swapped[5] = tokens[5], tokens[end]
    lists = {
        "tokens": [
            *([], tokens[:-1], [*tokens, b"more"], [*tokens[:-1], tokens[0]], swapped),
            *([b"", *tokens[1:]], [b"\xff", *tokens[1:]], [b"a\0b", *tokens[1:]]),
            [b"x" * 60_000, *tokens[1:]],
        ],
        "merges": [[b"nopair"], [b"\xff \xfe"], [b"a b\0"]],
    }
    for name, values in lists.items():
        for value in values:
            changed = {f"tokenizer.ggml.{name}": array_value("STRING", value)}
            refused(original, manifest, changed)
    plain = [1 if index == end else kind for index, kind in enumerate(types)]
    others = [[kind, *types[1:]] for kind in (0, 2, 4, 6, 7, -1)]
    for kinds in ([], types[:-1], plain, *others):
        refused(original, manifest, {"tokenizer.ggml.token_type": array_value("INT32", kinds)})
    other = array_value("UINT32", types)
    refused(original, manifest, {"tokenizer.ggml.token_type": other})


def test_tensor_tables_that_do_not_fit(original: Path, manifest: Manifest) -> None:
    def line(index: int, **changes: object) -> Callable[[list[TensorLine]], object]:
        def change(lines: list[TensorLine]) -> None:
            name, shape, kind, offset = lines[index]
            new = {"name": name, "shape": shape, "kind": kind, "offset": offset, **changes}
            lines[index] = (new["name"], new["shape"], new["kind"], new["offset"])  # type: ignore[assignment]

        return change

    names = [tensor.name for tensor in gguf.GGUFReader(original / "original.gguf").tensors]
    norm, query = names.index("blk.0.attn_norm.weight"), names.index("blk.0.attn_q.weight")
    changes: list[Callable[[list[TensorLine]], object]] = [
        *(line(norm, name=name) for name in ("", "x", "blk.9.attn_norm.weight", "\x1b[2J")),
        line(norm, name="blk.0.attn_q.weight"),
        *(line(norm, kind=kind) for kind in (1, 2, 12, 24, 4, 99, 2**32 - 1)),
        *(line(query, kind=kind) for kind in (24, 28, 16, 34)),
        *(line(norm, offset=offset) for offset in (0, 1, 2**40, 2**63, 2**64 - 32)),
        *(line(query, shape=shape) for shape in ([], [0], [2**62, 4], [2**32] * 4, [4] * 5)),
        line(norm, shape=[7]),
        lambda lines: lines.pop(),
        lambda lines: lines.clear(),
        lambda lines: lines.reverse(),
        lambda lines: lines.append(("output.bias", [800], 0, 10**6)),
        lambda lines: lines.append(lines[-1]),
    ]
    for change in changes:
        refused(original, manifest, change=change)


def test_headers_that_are_none(original: Path, manifest: Manifest) -> None:
    data = (original / "original.gguf").read_bytes()
    path = original / BACKBONE_FILE
    heads = [b"GGML" + data[4:], data[:24], data[:100], data[:3]]
    for version in (0, 1, 2, 4, 2**32 - 1):
        heads.append(data[:4] + struct.pack("<I", version) + data[8:])
    for count in (0, 5, 2**32, 2**63, 2**64 - 1):
        heads.append(data[:8] + struct.pack("<Q", count) + data[16:])  # tensors
        heads.append(data[:16] + struct.pack("<Q", count) + data[24:])  # keys
        heads.append(data[:24] + struct.pack("<Q", count) + data[32:])  # length of the first key
    for head in heads:
        # A manifest without its tables in the file is refused for that: enlarge it.
        path.write_bytes(head + bytes(max(0, len(data) - len(head))))
        sign(original, manifest)
        assert BACKBONE_FILE in complaint(original)
