"""Bundles of noise with the released dimensions, to measure a model that was not downloaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mimo_edge.bundle.manifest import BACKBONE_FILE, MANIFEST_FILE, Manifest

from .backbone.gguf_file import Progress
from .backbone.matrix_types import BACKBONE_TYPES
from .backbone.random_blocks import write_random_backbone
from .backbone.writing import expected_backbone_tensors
from .bundle import write_decoder_inputs, write_graph, write_patch_stacks
from .checkpoints.configs import AudioTokenizerConfig, LanguageModelConfig
from .checkpoints.origin import Origin
from .checkpoints.random_checkpoint import RandomCheckpoint
from .checkpoints.source import Source
from .checkpoints.tensors import audio_tensors, patch_tensors
from .checkpoints.text_tokenizer import (
    ADDED_SPECIAL_TOKENS,
    CONTROL,
    NORMAL,
    REQUIRED_SPECIAL_TOKENS,
    UNUSED,
    TextTokenizer,
    byte_characters,
)
from .manifest import make_manifest
from .recipes import Recipe, get_recipe, part_sizes, with_patch_stacks
from .released import RELEASED_AUDIO, RELEASED_LANGUAGE
from .room import Need, check_room
from .target import claim

__all__ = ["synthetic_bundle"]

_NAME = "synthetic"
_THINKING = ("<think>", "</think>")


def synthetic_bundle(
    out: Path,
    progress: Progress,
    *,
    language: LanguageModelConfig = RELEASED_LANGUAGE,
    audio: AudioTokenizerConfig = RELEASED_AUDIO,
) -> Manifest:
    """Write a bundle of noise in the recipe `default`, whole or not at all.

    Its patch stages are there in both forms, so that either can be measured.

    It takes as much memory and time as the trained model, and says nothing of sense. Its
    vocabulary is bytes: texts are longer in tokens than the trained model's.

    Raises:
        MimoEdgeError: the disk is full, or the folder is in the way.
    """
    recipe = with_patch_stacks(get_recipe("default"))
    source = _source(language, audio)
    with claim(out, force=False) as target, target.working_folder() as work:
        size = sum(part_sizes(recipe, language, audio).values())
        check_room([Need(what="the bundle", folder=target.folder, size=size)])
        parameters = _write_parts(source, work, recipe, progress)
        manifest = make_manifest(source, work, recipe, _NAME, parameters, progress)
        (work / MANIFEST_FILE).write_text(manifest.to_json(), encoding="utf-8")
    return manifest


def _write_parts(source: Source, work: Path, recipe: Recipe, progress: Progress) -> dict[str, int]:
    """Write all files but the manifest; file name → parameters it holds."""
    checkpoint = source.language_checkpoint
    assert isinstance(checkpoint, RandomCheckpoint)
    write_random_backbone(
        source.language,
        source.text,
        checkpoint,
        work / BACKBONE_FILE,
        BACKBONE_TYPES[recipe.backbone],
        name=_NAME,
        progress=progress,
    )
    shapes = expected_backbone_tensors(source.language).values()
    parameters = {BACKBONE_FILE: sum(int(np.prod(shape)) for shape in shapes)}
    for graph in recipe.graphs:
        parameters |= write_graph(source, work, graph, recipe, progress)
    parameters |= write_decoder_inputs(source, work)
    return parameters | write_patch_stacks(source, work, recipe, _NAME, progress)


def _source(language: LanguageModelConfig, audio: AudioTokenizerConfig) -> Source:
    nowhere = Origin(folder=Path(_NAME), name=_NAME, revision=None)
    return Source(
        language_origin=nowhere,
        audio_origin=nowhere,
        language_checkpoint=RandomCheckpoint(
            _NAME, expected_backbone_tensors(language) | patch_tensors(language)
        ),
        audio_checkpoint=RandomCheckpoint(_NAME, audio_tensors(audio)),
        language=language,
        audio=audio,
        text=_bytes_as_text(language.vocab_size),
    )


def _bytes_as_text(vocab_size: int) -> TextTokenizer:
    """A vocabulary of single bytes, one pair, the control tokens, and nothing up to its size."""
    characters = byte_characters()
    pair = (characters[ord("e")], characters[ord(" ")])
    control = (*REQUIRED_SPECIAL_TOKENS, *ADDED_SPECIAL_TOKENS, *_THINKING)
    tokens = [*characters, "".join(pair), *control]
    normal, used = len(characters) + 1, len(tokens)
    tokens += [f"[PAD{number}]" for number in range(used, vocab_size)]
    types = [NORMAL] * normal + [CONTROL] * len(control) + [UNUSED] * (vocab_size - used)
    return TextTokenizer(
        tokens=tuple(tokens),
        token_types=tuple(types),
        merges=(" ".join(pair),),
        special_tokens={text: normal + index for index, text in enumerate(control)},
    )
