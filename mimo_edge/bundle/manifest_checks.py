"""What the values of a manifest must have in common, beyond what each of them may be."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import asdict

from .documents import DOCUMENTS
from .manifest import (
    BACKBONE_FILE,
    OPTIONAL_PARTS,
    PART_FILES,
    SPEAKING_PARTS,
    AudioConfig,
    Manifest,
    PatchConfig,
)
from .number_types import NUMBER_TYPES, row_bytes, row_length
from .untrusted_json import validate

__all__ = ["check_dimensions", "check_manifest"]

_MARKERS = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|sosp|>", "<|eosp|>"),
    *("<|empty|>", "<|sostm|>", "<|eostm|>", "<|eot|>"),
)
"""Control tokens without which no prompt can be made."""
_LONGEST_PATCH_S = 10
_OPTIONAL_ENDING = ".onnx.data"
"""Of the weights of a graph, which lie in the graph itself where they are tiny."""


def check_manifest(manifest: Manifest) -> None:
    """Compare the values of a manifest with what each may be, and with each other.

    Raises:
        ValueError: names the first that cannot be, as a part of a sentence.
    """
    validate(Manifest, asdict(manifest))
    check_dimensions(manifest.audio, manifest.patch)
    _raise_first(
        _parts(manifest),
        _files(manifest),
        _documents(manifest),
        _tokens(manifest),
        _embeddings(manifest),
    )


def check_dimensions(audio: AudioConfig, patch: PatchConfig) -> None:
    """Compare the dimensions of the model with what each may be, and with each other.

    Raises:
        ValueError: names the first that cannot be, as a part of a sentence.
    """
    validate(AudioConfig, asdict(audio))
    validate(PatchConfig, asdict(patch))
    _raise_first(_audio(audio), _patch(patch, audio))


def _raise_first(*complaints: Iterator[str]) -> None:
    first = next(itertools.chain(*complaints), None)
    if first is not None:
        raise ValueError(first)


def _parts(manifest: Manifest) -> Iterator[str]:
    """The speaking half is there as a whole or not at all, what is optional beside what it stands
    for, everything else always."""
    found = manifest.precisions.keys()
    left_out = set(SPEAKING_PARTS) if found.isdisjoint(SPEAKING_PARTS) else set()
    required = PART_FILES.keys() - left_out - OPTIONAL_PARTS.keys()
    for name in sorted(required ^ (found - OPTIONAL_PARTS.keys())):
        yield f"precisions has {'no' if name in PART_FILES else 'an unknown'} part {name!r}"
    for name in sorted(found & OPTIONAL_PARTS.keys()):
        if OPTIONAL_PARTS[name] not in found:
            yield f"precisions has the part {name!r} without {OPTIONAL_PARTS[name]!r}"


def _files(manifest: Manifest) -> Iterator[str]:
    """Exactly the files of the parts; assumes that these are known."""
    names = [file.name for file in manifest.files]
    of_parts = {name for part in manifest.precisions for name in PART_FILES[part]}
    for name in names:
        if "/" in name or "\\" in name:
            yield f"files names {name!r}, outside the bundle"
        if name not in of_parts:
            yield f"files names {name!r}, which no part of this bundle has"
        if names.count(name) > 1:
            yield f"files names {name!r} twice"
    for name in sorted(of_parts - set(names)):
        if not name.endswith(_OPTIONAL_ENDING):
            yield f"files does not name {name!r}"


def _documents(manifest: Manifest) -> Iterator[str]:
    """Names that a conversion gives: these files are removed when a bundle is replaced."""
    names = [document.name for document in manifest.documents]
    for name in names:
        if name not in DOCUMENTS:
            yield f"documents names {name!r}, which no licence or model card is called"
        if names.count(name) > 1:
            yield f"documents names {name!r} twice"


def _audio(audio: AudioConfig) -> Iterator[str]:
    if len(audio.codebook_sizes) != audio.num_quantizers:
        yield (
            f"audio.codebook_sizes has {len(audio.codebook_sizes)} entries and "
            f"audio.num_quantizers is {audio.num_quantizers}"
        )
    for name, value in (("window_size", audio.window_size), ("hop_length", audio.hop_length)):
        if value > audio.n_fft:
            yield f"audio.{name} is {value}, more than audio.n_fft ({audio.n_fft})"
    if audio.n_fft % 2:
        yield f"audio.n_fft is {audio.n_fft}, which is odd"
    if not audio.f_min < audio.f_max <= audio.sample_rate:
        yield (
            f"audio.f_min is {audio.f_min:g} and audio.f_max {audio.f_max:g} at a sample rate "
            f"of {audio.sample_rate}"
        )


def _patch(patch: PatchConfig, audio: AudioConfig) -> Iterator[str]:
    if patch.channels > audio.num_quantizers:
        yield (
            f"patch.channels is {patch.channels}, more than audio.num_quantizers "
            f"({audio.num_quantizers})"
        )
    for name in ("vocab_sizes", "empty_ids", "delays"):
        entries = len(getattr(patch, name))
        if entries != patch.channels:
            yield f"patch.{name} has {entries} entries and patch.channels is {patch.channels}"
            return
    for channel, size in enumerate(patch.vocab_sizes):
        empty = patch.empty_ids[channel]
        if empty >= size:
            yield f"patch.empty_ids has {empty} where patch.vocab_sizes has {size}"
        # An id that the tokenizer gives has to have a place in the vocabulary.
        if channel < len(audio.codebook_sizes) and audio.codebook_sizes[channel] > size:
            yield (
                f"patch.vocab_sizes has {size} for a codebook of {audio.codebook_sizes[channel]}"
            )
    if patch.local_dim % patch.local_heads:
        yield (
            f"patch.local_dim is {patch.local_dim}, no multiple of patch.local_heads "
            f"({patch.local_heads})"
        )
    for name, stride in (("en", audio.encode_stride), ("de", audio.decode_stride)):
        seconds = patch.group_size * stride * audio.hop_length / audio.sample_rate
        if seconds > _LONGEST_PATCH_S:
            yield (
                f"patch.group_size is {patch.group_size}, audio.{name}code_stride {stride} and "
                f"audio.hop_length {audio.hop_length}, which makes patches of {seconds:g} s"
            )


def _tokens(manifest: Manifest) -> Iterator[str]:
    tokens, size = manifest.special_tokens, manifest.backbone.vocab_size
    for name in _MARKERS:
        if name not in tokens:
            yield f"special_tokens has no {name!r}"
    for name, token in tokens.items():
        if token >= size:
            yield f"special_tokens has {name!r} as {token} and backbone.vocab_size is {size}"
    if len(set(tokens.values())) < len(tokens):
        yield "special_tokens has one id twice"


def _embeddings(manifest: Manifest) -> Iterator[str]:
    """The token embeddings are read straight from the GGUF, at the place that is named."""
    backbone = manifest.backbone
    if backbone.embedding_type not in NUMBER_TYPES:
        yield f"backbone.embedding_type is {backbone.embedding_type!r}, an unknown number type"
        return
    block = row_length(backbone.embedding_type)
    if backbone.hidden_size % block:
        yield (
            f"backbone.hidden_size is {backbone.hidden_size}, no multiple of the {block} that "
            f"{backbone.embedding_type} stores together"
        )
    end = backbone.embedding_offset + backbone.vocab_size * row_bytes(backbone)
    written = next(file.size for file in manifest.files if file.name == BACKBONE_FILE)
    if end > written:
        yield (
            f"backbone.embedding_offset is {backbone.embedding_offset}, and a table there would "
            f"end at byte {end} of {BACKBONE_FILE}, which has {written}"
        )
