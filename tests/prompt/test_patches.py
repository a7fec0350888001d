"""Positions and prompts: interleaving, padding, prefixes, capitals, languages."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from mimo_edge.bundle.manifest import PatchConfig
from mimo_edge.prompt.positions import (
    AudioPiece,
    InterleavedPiece,
    Layout,
    Positions,
    RawPiece,
    TextPiece,
    concatenate,
    to_patches,
)
from mimo_edge.prompt.prompts import Exchange, conversation, speak
from mimo_edge.prompt.text_tokenizer import TextTokenizer

SPECIAL = {"<|empty|>": 900, "<|sosp|>": 901, "<|eosp|>": 902, "<|sostm|>": 903}
SPECIAL |= {"<|eostm|>": 904, "<|eot|>": 905, "<|im_start|>": 906, "<|im_end|>": 907}
CONFIG = PatchConfig(
    group_size=2,
    channels=3,
    vocab_sizes=(1025, 1025, 129),
    empty_ids=(1024, 1024, 128),
    delays=(0, 1, 1),
    local_dim=8,
    local_layers=1,
    local_heads=1,
)


LENGTHS = (0, 1, 4, 5, 6, 9, 10, 11, 26)
"""Around the runs of five."""


class Letters:
    """Every character is an id."""

    def tokenize(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def token_bytes(self, token: int) -> bytes:
        return chr(token).encode()


@pytest.fixture
def layout() -> Layout:
    return Layout(TextTokenizer(Letters(), SPECIAL), CONFIG)


def numbered(count: int) -> np.ndarray:
    """Patches that all differ."""
    return np.arange(count * 6, dtype=np.int64).reshape(count, 2, 3)


def naive(text: str, patches: np.ndarray) -> list[object]:
    """The interleaving as the reference does it: one loop, lists, 5 and 5, rests at the end.

    A position is a text id, or the tuple of a patch's codes.
    """
    ids: list[object] = [ord(letter) for letter in text]
    sound: list[object] = [tuple(patch.reshape(-1).tolist()) for patch in patches]
    result: list[object] = [SPECIAL["<|sostm|>"]]
    first = True
    while first or ids or sound:
        first = False
        run, ids = ids[:5], ids[5:]
        result += run
        if not ids and SPECIAL["<|eot|>"] not in result:
            result.append(SPECIAL["<|eot|>"])
        taken, sound = sound[:5], sound[5:]
        result += taken
    return [*result, SPECIAL["<|eostm|>"]]


def listed(positions: Positions) -> list[object]:
    """Positions in the form of `naive`; checks that a position is never both."""
    empty = np.broadcast_to(CONFIG.empty_ids, (2, 3))
    result: list[object] = []
    for token, codes in zip(positions.text_ids, positions.codes, strict=True):
        if token == SPECIAL["<|empty|>"]:
            result.append(tuple(codes.reshape(-1).tolist()))
        else:
            np.testing.assert_array_equal(codes, empty)
            result.append(int(token))
    return result


def test_interleaving(layout: Layout) -> None:
    for letters, patches in product(LENGTHS, repeat=2):
        text = "abcdefghijklmnopqrstuvwxyz"[:letters]
        piece = InterleavedPiece(text, numbered(patches))
        found = listed(layout.positions([piece]))
        assert found == naive(text, piece.patches), (letters, patches)
        assert len(found) == letters + patches + 3


def test_pieces(layout: Layout) -> None:
    patches = numbered(2)
    sound = [tuple(patch.reshape(-1).tolist()) for patch in patches]
    assert listed(layout.positions([AudioPiece(patches)])) == [901, *sound, 902]
    assert listed(layout.positions([AudioPiece(patches, open_end=True)])) == [901, *sound]
    assert listed(layout.positions([TextPiece(("ab",))])) == [97, 98]
    raw = layout.positions([TextPiece(("x",)), AudioPiece(patches)])
    assert listed(layout.positions([RawPiece(raw), TextPiece(("",))])) == listed(raw)
    assert raw.text_ids.dtype == np.int32 and raw.codes.dtype == np.int64


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 8])
@pytest.mark.parametrize("quantizers", [3, 20])
def test_the_last_step_fills_the_last_patch(steps: int, quantizers: int) -> None:
    codes = np.arange(steps * quantizers).reshape(steps, quantizers)
    patches = to_patches(codes, CONFIG)
    assert patches.shape == ((steps + 1) // 2, 2, 3)
    flat = patches.reshape(-1, 3)
    np.testing.assert_array_equal(flat[:steps], codes[:, :3])
    np.testing.assert_array_equal(flat[steps:], np.repeat(codes[-1:, :3], steps % 2, axis=0))


def test_common_prefix(layout: Layout) -> None:
    whole = layout.positions([TextPiece(("hello",)), AudioPiece(numbered(4))])
    for length in range(len(whole) + 1):
        assert whole.common_prefix(whole[:length]) == length
        assert whole[:length].common_prefix(whole) == length
    other_code = Positions(whole.text_ids, whole.codes.copy())
    other_code.codes[7, 1, 2] += 1
    assert whole.common_prefix(other_code) == 7
    other_text = Positions(whole.text_ids.copy(), whole.codes)
    other_text.text_ids[3] = 1
    assert whole.common_prefix(other_text) == 3
    assert len(concatenate([whole, whole])) == 2 * len(whole)


def spoken_text(text: str, **options: Any) -> str:
    """The request of a speech prompt, as one string."""
    pieces = speak(text, **options)
    texts = ["".join(piece.parts) for piece in pieces if isinstance(piece, TextPiece)]
    (request,) = (text for text in texts if text.startswith("<|im_start|>user"))
    return request.removeprefix("<|im_start|>user\n").removesuffix("<|im_end|>\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("HELLO THERE", "Hello there"),
        ("hello there", "Hello there"),
        ("Hello There", "Hello There"),
        ("iPhone", "iPhone"),
        ("ÉTÉ", "Été"),
        ("123", "123"),
        ("", ""),
    ],
)
def test_capitals(text: str, said: str) -> None:
    assert spoken_text(text) == f"Please convert this text to speech: {said}"


@pytest.mark.parametrize(
    ("text", "chinese"),
    [
        ("今天", True),
        ("a 天 b", True),
        ("\u4e00", True),
        ("\u9fff", True),
        ("Hello", False),
        ("かな", False),
        ("한국", False),
        ("，。", False),
    ],
)
def test_the_instruction_is_in_the_texts_language(text: str, chinese: bool) -> None:
    assert spoken_text(text).startswith("请将这段文字转换为语音: " if chinese else "Please convert")


def test_style() -> None:
    assert spoken_text("今天", style="开心") == "请将这段文字转换为语音: 今天(开心)"
    assert spoken_text("用力说：走！", style_in_text=True) == "用力说：走！"


def test_the_system_prompt_comes_with_the_first_turn_alone() -> None:
    turns = [Exchange(request="One.", answer="Yes."), Exchange(request="Two.")]
    pieces = conversation(turns, "text", system="Be kind.")
    texts = ["".join(piece.parts) for piece in pieces if isinstance(piece, TextPiece)]
    assert texts[:5] == ["<|im_start|>user\n", "Be kind.", "\n\n", "One.", "<|im_end|>\n"]
    assert texts.count("Be kind.") == 1
    assert texts[-2:] == ["<|im_start|>assistant\n", "<think>\n\n</think>\n"]
