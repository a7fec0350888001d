"""How a text that comes in pieces is cut into sentences."""

from __future__ import annotations

import pytest

from mimo_edge.server.wyoming.sentences import Sentences


def cut(text: str, size: int, most: int = 60) -> list[str]:
    sentences = Sentences(most)
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    return [*(one for piece in pieces for one in sentences.add(piece)), *sentences.rest()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" … ", []),
        ("One. Two", ["One.", "Two"]),
        ("Really?! “Yes.” Good", ["Really?!", "“Yes.”", "Good"]),
        ("It is 3.5 degrees. Dr. Who said so, e.g. today.", None),
        ("第一句。第二句！三", ["第一句。", "第二句！", "三"]),
        ("first line\nsecond line\n", ["first line", "second line"]),
        ("... well. So", ["... well.", "So"]),
        ("# So\nit is **two * three** and `four`.", ["So", "it is two * three and four."]),
    ],
)
def test_a_text_is_cut_the_same_however_it_comes(text: str, expected: list[str] | None) -> None:
    if expected is None:
        expected = ["It is 3.5 degrees.", "Dr. Who said so, e.g. today."]
    for size in (1, 2, 3, 7, 1000):
        assert cut(text, size) == expected, size


def test_a_sentence_is_said_as_soon_as_it_is_known_to_be_one() -> None:
    sentences = Sentences(60)
    assert sentences.add("The sky is blue.") == []  # it may go on: 3.5
    assert sentences.add(" And") == ["The sky is blue."]
    assert sentences.rest() == ["And"]
    assert sentences.rest() == []


def test_an_endless_sentence_does_not_wait_for_its_end() -> None:
    words = "river " * 100
    parts = cut(words, 6)
    assert " ".join(parts).split() == words.split()
    assert max(map(len, parts)) <= 60
    assert len(cut("x" * 1000, 10)) >= 1000 // 60
