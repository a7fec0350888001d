"""Long texts are spoken in parts that end where a speaker would pause."""

from __future__ import annotations

import random

import pytest

from mimo_edge.prompt.spoken_text import has_words, spoken_parts


def texts(text: str, most: int) -> list[str]:
    return [part.text for part in spoken_parts(text, most)]


def test_whole_sentences_as_many_as_fit() -> None:
    text = "The sky is blue. Is it? Yes! It is 3.14 wide."
    assert texts(text, 100) == [text]
    assert texts(text, 30) == ["The sky is blue. Is it? Yes!", "It is 3.14 wide."]
    assert texts(text, 16) == ["The sky is blue.", "Is it? Yes!", "It is 3.14 wide."]


def test_a_long_sentence_is_cut_at_commas_then_between_words_then_anywhere() -> None:
    parts = spoken_parts("one two three four, five six seven eight nine", 24)
    assert [(part.text, part.ends_sentence) for part in parts] == [
        ("one two three four,", False),
        ("five six seven eight", False),
        ("nine", True),
    ]
    assert texts("a" * 25, 10) == ["a" * 10, "a" * 10, "a" * 5]


def test_abbreviations_quotes_and_lines() -> None:
    assert texts("I saw Dr. Miller today. He ran.", 24) == ["I saw Dr. Miller today.", "He ran."]
    assert texts('"Stop!" "Why?" (So.) Go.', 14) == ['"Stop!" "Why?"', "(So.) Go."]
    assert texts("First line\nsecond line", 15) == ["First line", "second line"]
    assert texts("a\x00b\tc\r\nd", 99) == ["a b c d"]


def test_wide_characters_take_longer_to_say() -> None:
    text = "今天天气很好。我们去公园，好吗？"
    assert texts(text, 99) == [text]
    assert texts(text, 30) == ["今天天气很好。", "我们去公园，好吗？"]


def test_accents_stay_with_their_letter() -> None:
    assert all(not part.startswith("\u0301") for part in texts("e\u0301" * 30, 7))


def test_nothing_to_say() -> None:
    assert spoken_parts(" \n\t", 9) == []
    assert spoken_parts("… — \U0001f642 !?", 99) == []
    assert not has_words("...") and has_words("5 %") and has_words("€") and has_words("ß")


@pytest.mark.parametrize("most", [1, 7, 40])
def test_nothing_is_lost(most: int) -> None:
    """Whatever the text: all its letters come out in order, in parts that are short enough."""
    random.seed(most)
    for _ in range(200):
        text = "".join(random.choices("ab  .,!?\n\"'é好。1", k=random.randint(0, 200)))
        parts = texts(text, most)
        kept = "".join(filter(str.isalnum, "".join(parts)))
        assert kept == "".join(filter(str.isalnum, text))
        assert all(len(part) <= most for part in parts)
