"""The sizes of the released model that the runtime knows are those that converting computes.

`python -m tests.tools.released` writes them anew where recipes changed.
"""

from __future__ import annotations

import math

import pytest

from convert.backbone.writing import backbone_bytes, expected_backbone_tensors
from convert.checkpoints.tensors import audio_tensors, patch_tensors
from convert.recipes import RECIPES, part_sizes
from convert.released import RELEASED_AUDIO, RELEASED_LANGUAGE
from mimo_edge.measure import released
from mimo_edge.measure.speech_cost import Ways, speech_bytes

BACKBONE = {
    name: math.prod(shape) for name, shape in expected_backbone_tensors(RELEASED_LANGUAGE).items()
}


def test_every_part_of_every_recipe() -> None:
    computed = {
        recipe.name: part_sizes(recipe, RELEASED_LANGUAGE, RELEASED_AUDIO) for recipe in RECIPES
    }
    assert computed == {recipe: dict(parts) for recipe, parts in released.PART_BYTES.items()}


def test_the_large_tables_of_the_backbone() -> None:
    for recipe in RECIPES:
        sizes = backbone_bytes(RELEASED_LANGUAGE, recipe.backbone)
        tables = sizes["token_embd.weight"], sizes["output.weight"]
        assert released.TOKEN_BYTES[recipe.name] == tables, recipe.name


def test_dimensions() -> None:
    language, audio = RELEASED_LANGUAGE, RELEASED_AUDIO
    assert language.group_size + max(language.delays) == released.DECODE_STEPS
    steps = audio.sampling_rate / (audio.hop_length * audio.stride_size * audio.avg_pooler)
    assert steps / language.group_size == released.PATCHES_PER_SECOND
    keys = language.num_key_value_heads * language.head_dim
    assert 2 * language.num_hidden_layers * keys == released.CACHED_VALUES
    tables = sum(language.speech_vocab_sizes) + language.hidden_size
    assert 4 * language.local_dim * tables == released.TABLE_BYTES


def test_downloads() -> None:
    assert 2 * sum(BACKBONE.values()) == released.INTERMEDIATE_BYTES
    language = sum(map(math.prod, patch_tensors(RELEASED_LANGUAGE).values()))
    audio = sum(map(math.prod, audio_tensors(RELEASED_AUDIO).values()))
    checkpoint = released.INTERMEDIATE_BYTES + 2 * language + 4 * audio
    assert checkpoint == pytest.approx(released.CHECKPOINT_BYTES, rel=0.01)


def test_what_a_second_of_speech_reads() -> None:
    """4.0 GB for a token, 3.6 GB for a patch and 1.7 GB for its codes."""
    read = released.released_models()["default"].read
    assert read.blocks + read.head == pytest.approx(3.98e9, rel=0.01)
    assert read.patch_decoder == pytest.approx(1.71e9, rel=0.01)
    total = sum(speech_bytes(read, "dialogue", Ways()).values())
    assert total == pytest.approx(52e9, rel=0.02)
