"""Which number type each matrix of a backbone gets."""

from __future__ import annotations

import gguf
import pytest

from convert.backbone.matrix_types import BACKBONE_TYPES, matrix_bytes, matrix_types

Kind = gguf.GGMLQuantizationType
LAYERS = 36


@pytest.mark.parametrize(
    ("stored", "name", "expected"),
    [
        ("q4_k", "output.weight", Kind.Q4_K),
        ("q4_k", "token_embd.weight", Kind.Q6_K),
        ("q4_k", "blk.0.ffn_down.weight", Kind.Q4_K),
        ("q4_k", "blk.17.attn_v.weight", Kind.Q6_K),
        ("q3_k", "output.weight", Kind.Q4_K),
        ("q3_k", "blk.5.ffn_up.weight", Kind.Q3_K),
        ("q3_k", "blk.5.attn_output.weight", Kind.Q4_K),
        ("q3_k", "blk.4.ffn_down.weight", Kind.Q3_K),
        ("q3_k", "blk.35.ffn_down.weight", Kind.Q4_K),
    ],
)
def test_by_kind_and_layer(stored: str, name: str, expected: gguf.GGMLQuantizationType) -> None:
    assert BACKBONE_TYPES[stored].of(name, LAYERS) == expected


def test_rows_that_are_too_short_get_smaller_blocks() -> None:
    shapes = {"blk.0.ffn_up.weight": (8, 256), "blk.0.ffn_down.weight": (256, 96)}
    types = matrix_types(BACKBONE_TYPES["q3_k"], shapes, 1)
    assert types == {"blk.0.ffn_up.weight": Kind.Q3_K, "blk.0.ffn_down.weight": Kind.Q5_0}


def test_bytes_of_matrices_and_vectors() -> None:
    shapes = {"blk.0.ffn_up.weight": (8, 256), "blk.0.attn_q.bias": (8,)}
    sizes = matrix_bytes(BACKBONE_TYPES["q4_k"], shapes, 1)
    assert sizes == {"blk.0.ffn_up.weight": 8 * 144, "blk.0.attn_q.bias": 32}


def test_who_is_measured_before_it_is_rounded() -> None:
    coarse = {name for name, stored in BACKBONE_TYPES.items() if stored.is_coarse}
    assert coarse == {"q4_k", "q3_k", "q4_k_m", "q4_0", "iq4_xs"}
