"""The sizes of the released model that the runtime knows are those that converting computes."""

from __future__ import annotations

import math

import pytest

from convert.backbone.writing import expected_backbone_tensors
from convert.checkpoints.tensors import audio_tensors, patch_tensors
from convert.recipes import RECIPES, part_sizes
from convert.released import RELEASED_AUDIO, RELEASED_LANGUAGE
from mimo_edge.measure import released

BACKBONE = {
    name: math.prod(shape) for name, shape in expected_backbone_tensors(RELEASED_LANGUAGE).items()
}


def test_every_part_of_every_recipe() -> None:
    computed = {
        recipe.name: part_sizes(recipe, RELEASED_LANGUAGE, RELEASED_AUDIO) for recipe in RECIPES
    }
    assert computed == {recipe: dict(parts) for recipe, parts in released.PART_BYTES.items()}


def test_dimensions() -> None:
    language, audio = RELEASED_LANGUAGE, RELEASED_AUDIO
    assert language.group_size + max(language.delays) == released.DECODE_STEPS
    steps = audio.sampling_rate / (audio.hop_length * audio.stride_size * audio.avg_pooler)
    assert steps / language.group_size == released.PATCHES_PER_SECOND
    keys = language.num_key_value_heads * language.head_dim
    assert 2 * language.num_hidden_layers * keys == released.CACHED_VALUES
    embedded = BACKBONE["model.embed_tokens.weight"] / sum(BACKBONE.values())
    assert embedded == released.EMBEDDED
    tables = sum(language.speech_vocab_sizes) + language.hidden_size
    assert 4 * language.local_dim * tables == released.TABLE_BYTES


def test_downloads() -> None:
    assert 2 * sum(BACKBONE.values()) == released.INTERMEDIATE_BYTES
    language = sum(map(math.prod, patch_tensors(RELEASED_LANGUAGE).values()))
    audio = sum(map(math.prod, audio_tensors(RELEASED_AUDIO).values()))
    checkpoint = released.INTERMEDIATE_BYTES + 2 * language + 4 * audio
    assert checkpoint == pytest.approx(released.CHECKPOINT_BYTES, rel=0.01)


def test_what_a_second_of_speech_reads() -> None:
    """As measured and told in the README: 7.7 GB a patch, text tokens on top."""
    size = released.released_sizes()["default"]
    assert size.per_position + size.per_patch == pytest.approx(7.7e9, rel=0.02)
    assert size.bytes_per_second_of_speech() == pytest.approx(64e9, rel=0.02)
