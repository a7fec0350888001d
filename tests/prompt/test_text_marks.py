"""Marks are taken out of a text, however it is cut into pieces."""

from __future__ import annotations

import pytest

from mimo_edge.prompt.text_marks import MarkFilter, without_marks

TAGS = ("<english>", "<chinese>")


def told(pieces: list[str], marks: tuple[str, ...] = TAGS) -> tuple[str, tuple[str, ...]]:
    shown = MarkFilter(marks)
    return "".join(map(shown.push, pieces)) + shown.finish(), shown.found


@pytest.mark.parametrize(
    ("text", "left", "found"),
    [
        ("<english>hello there", "hello there", ("<english>",)),
        ("<chinese>你好<english>hi", "你好hi", ("<chinese>", "<english>")),
        ("1 < 2 and <eng>", "1 < 2 and <eng>", ()),
        ("cut off <engl", "cut off <engl", ()),
        ("<<english>>", "<>", ("<english>",)),
        ("", "", ()),
    ],
)
def test_in_pieces_of_any_size(text: str, left: str, found: tuple[str, ...]) -> None:
    for size in (1, 2, 3, 5, 100):
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        assert told(pieces) == (left, found), size
    assert without_marks(text, TAGS) == left


def test_without_marks_everything_is_told_at_once() -> None:
    shown = MarkFilter(())
    assert shown.push("<eng") == "<eng" and shown.finish() == "" and shown.found == ()


def test_text_is_held_back_only_while_it_may_be_a_mark() -> None:
    shown = MarkFilter(TAGS)
    assert [shown.push(piece) for piece in ("a <", "en", "d>", " b")] == ["a ", "", "<end>", " b"]
