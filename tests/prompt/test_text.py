"""Text in and out: users' text stays text, characters come whole."""

from __future__ import annotations

import unicodedata

import pytest

from mimo_edge.engine import Engine
from mimo_edge.prompt.text_tokenizer import Detokenizer, Template, TextTokenizer


class Bytes:
    """A vocabulary whose ids are the bytes; ids above 255 are control tokens."""

    def tokenize(self, text: str) -> list[int]:
        return list(text.encode())

    def token_bytes(self, token: int) -> bytes:
        return bytes([token]) if token < 256 else f"<{token}>".encode()


@pytest.fixture
def plain() -> TextTokenizer:
    names = ("<|im_start|>", "<|im_end|>", "<|empty|>", "<think>", "</think>")
    return TextTokenizer(Bytes(), {name: 300 + i for i, name in enumerate(names)})


@pytest.fixture
def tokenizer(engine: Engine) -> TextTokenizer:
    return engine.tokenizer


def pushed(tokenizer: TextTokenizer, ids: list[int]) -> list[str]:
    detokenizer = Detokenizer(tokenizer)
    return [*(detokenizer.push(token) for token in ids), detokenizer.finish()]


def test_what_users_type_is_never_a_control_token(tokenizer: TextTokenizer) -> None:
    control = set(tokenizer.special_tokens.values())
    for name in tokenizer.special_tokens:
        for text in (name, f"a{name}b", f"{name}{name}", f"\n{name}\n"):
            ids = tokenizer.encode(text)
            assert not control & set(ids), text
            assert tokenizer.decode(ids) == text
            assert not control & set(tokenizer.encode_piece((text,)))


def test_templates_hold_control_tokens(tokenizer: TextTokenizer) -> None:
    mark = tokenizer.id("<|im_end|>")
    user = "no <|im_end|> here"
    ids = tokenizer.encode_piece((Template("<|im_start|>user\n"), user, Template("<|im_end|>\n")))
    assert ids.count(mark) == 1 and ids[0] == tokenizer.id("<|im_start|>")
    assert ids[ids.index(mark) + 1 :] == tokenizer.encode("\n")


def test_neighbouring_text_is_tokenized_as_one(plain: TextTokenizer) -> None:
    calls: list[str] = []

    class Recorded(Bytes):
        def tokenize(self, text: str) -> list[int]:
            calls.append(text)
            return [0]

    tokenizer = TextTokenizer(Recorded(), plain.special_tokens)
    tokenizer.encode_piece((Template("<|im_start|>user\n"), "a", "b", Template("c<|im_end|>\nd")))
    assert calls == ["user\nabc", "\nd"]


def test_split_control_tokens_stay_apart(plain: TextTokenizer) -> None:
    """Two users' texts that make a control token only together, and one across a template."""
    assert 301 not in plain.encode_piece(("<|im_", "end|>"))
    assert 301 not in plain.encode_piece((Template("<|im_"), "end|>"))


@pytest.mark.parametrize("text", ["é", "한국어", "Å", "ﬁ", "e\u0301\u0323", "\u1e9b\u0323"])
def test_nfc(tokenizer: TextTokenizer, text: str) -> None:
    decomposed = unicodedata.normalize("NFD", text)
    composed = unicodedata.normalize("NFC", text)
    assert tokenizer.encode(decomposed) == tokenizer.encode(composed)
    assert tokenizer.decode(tokenizer.encode(decomposed)) == composed


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\n\n",
        " Hello,  world!\r\n",
        "今天天气真好",
        "\U0001f469\u200d\U0001f469\u200d\U0001f466 \U0001f1e8\U0001f1f3",
        "\x00\x1b",
        "x" * 5000,
        "ا\u064bلعربية",
        "1234567890",
        "don't I'LL",
        "\u2028\ufeff",
    ],
)
def test_round_trip(tokenizer: TextTokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == unicodedata.normalize("NFC", text)
    assert "".join(pushed(tokenizer, ids)) == unicodedata.normalize("NFC", text)


def test_characters_come_whole(plain: TextTokenizer) -> None:
    """Bytes one at a time: nothing until a character is complete, then all of it."""
    text = "aé今👩b"
    ids = list(text.encode())
    assert pushed(plain, ids) == ["a", "", "é", "", "", "今", "", "", "", "👩", "b", ""]


def test_invalid_bytes(plain: TextTokenizer) -> None:
    assert plain.decode([0xFF, 0x41]) == "\ufffdA"
    assert plain.decode([0xE4, 0xBB, 0x41]) == "\ufffdA"  # 今 without its last byte
    assert pushed(plain, [0x41, 0xE4, 0xBB]) == ["A", "", "", "\ufffd"]
    assert plain.decode([0xC3, 300, 0xA9]) == "é"  # A control token between is silent.


def test_control_tokens_are_silent_except_the_thinking_marks(plain: TextTokenizer) -> None:
    assert plain.decode([300, 0x41, 301, 302]) == "A"
    assert plain.decode([303, 0x41, 304]) == "<303>A<304>"


def test_thinking_marks_are_visible(tokenizer: TextTokenizer) -> None:
    for name in ("<think>", "</think>"):
        ids = tokenizer.encode_piece((Template(name),))
        assert tokenizer.decode(ids) == name


def test_every_id_has_bytes_or_none(engine: Engine) -> None:
    """A random model says anything; none of it fails."""
    tokenizer = engine.tokenizer
    silent = set(tokenizer.special_tokens.values())
    for token in range(engine.manifest.backbone.vocab_size):
        data = tokenizer.token_bytes(token)
        assert isinstance(data, bytes)
        if token in silent and data:
            assert data in (b"<think>", b"</think>")
