"""Sizes of the released 7B model in every recipe, for whoever has not downloaded it yet.

The numbers are what `convert.recipes.part_sizes` computes from the released dimensions; they
stand here because an installation without the packages for converting has to know them, too. A
test compares every one of them with that computation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..stages.machine.machine_needs import ModelSize
from .speech_cost import ReadBytes

__all__ = [
    "CHECKPOINT_BYTES",
    "DECODE_STEPS",
    "INTERMEDIATE_BYTES",
    "PART_BYTES",
    "RELEASED_CONTEXT",
    "TOKEN_BYTES",
    "Released",
    "released_models",
]

PART_BYTES: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "fast": {
            "backbone": 3_869_446_144,
            "audio_encoder": 698_171_504,
            "audio_decoder": 680_455_952,
            "vocoder": 52_172_844,
            "patch_encoder": 132_805_016,
            "patch_decoder": 183_637_192,
        },
        "small": {
            "backbone": 4_254_502_912,
            "audio_encoder": 690_184_304,
            "audio_decoder": 662_638_352,
            "vocoder": 14_511_404,
            "patch_encoder": 85_094_808,
            "patch_decoder": 183_637_192,
        },
        "default": {
            "backbone": 4_488_613_888,
            "audio_encoder": 698_171_504,
            "audio_decoder": 680_455_952,
            "vocoder": 52_172_844,
            "patch_encoder": 132_805_016,
            "patch_decoder": 183_637_192,
        },
        "quality": {
            "backbone": 6_254_583_808,
            "audio_encoder": 2_575_777_904,
            "audio_decoder": 680_455_952,
            "vocoder": 52_172_844,
            "patch_encoder": 132_805_016,
            "patch_decoder": 308_483_272,
        },
        "reference": {
            "backbone": 30_490_476_544,
            "audio_encoder": 2_575_777_904,
            "audio_decoder": 2_548_231_952,
            "vocoder": 52_172_844,
            "patch_encoder": 481_456_536,
            "patch_decoder": 1_113_985_992,
        },
    }
)
"""Recipe → part → bytes, from the smallest recipe to the largest."""

CHECKPOINT_BYTES = 21_200_000_000
"""What is downloaded: the language model in bfloat16, the audio tokenizer in float32."""
INTERMEDIATE_BYTES = 15_245_238_272
"""The backbone in bfloat16, which lies on the disk until it is quantized; `reference` has none."""

TOKEN_BYTES: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "fast": (509_644_800, 349_470_720),
        "small": (330_055_680, 509_644_800),
        "default": (509_644_800, 349_470_720),
        "quality": (509_644_800, 509_644_800),
        "reference": (2_485_125_120, 2_485_125_120),
    }
)
"""Recipe → bytes of the backbone's two large tables: token embeddings, of which single rows are
read, and the text head, which is read where a text token has to be chosen."""
TABLE_BYTES = 28_344_320
"""Bytes of the patch decoder's tables of embeddings, of which single rows are read."""
DECODE_STEPS = 11
"""Steps of the patch decoder for one patch."""
PATCHES_PER_SECOND = 6.25
CACHED_VALUES = 2 * 36 * 8 * 128
"""Numbers in the KV cache per position: keys and values, layers, heads, width of a head."""
RELEASED_CONTEXT = 4096
"""Positions of the conversation for which the need of memory is told."""


@dataclass(frozen=True, kw_only=True)
class Released:
    """The released model in one recipe."""

    size: ModelSize
    read: ReadBytes


def released_models() -> dict[str, Released]:
    """Recipe → what a machine has to hold and to read."""
    return {recipe: _released(recipe, parts) for recipe, parts in PART_BYTES.items()}


def _released(recipe: str, parts: Mapping[str, int]) -> Released:
    table, head = TOKEN_BYTES[recipe]
    return Released(
        size=ModelSize(weights=sum(parts.values()), cached_values=CACHED_VALUES),
        read=ReadBytes(
            blocks=parts["backbone"] - table - head,
            weights=(PART_BYTES["reference"]["backbone"] - sum(TOKEN_BYTES["reference"])) // 4,
            head=head,
            cached_values=CACHED_VALUES,
            patch_decoder=DECODE_STEPS * (parts["patch_decoder"] - TABLE_BYTES),
            patch_encoder=parts["patch_encoder"],
            patches_per_second=PATCHES_PER_SECOND,
        ),
    )
