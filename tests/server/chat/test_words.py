"""The words of an answer, however they are cut when they come."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mimo_edge.server.chat.words import StopWords, ThoughtSplitter


def cuts(text: str) -> Iterator[list[str]]:
    yield [text]
    yield list(text)
    for size in (2, 3, 5):
        yield [text[at : at + size] for at in range(0, len(text), size)]


def split(parts: list[str], *, thinks: bool, complete: bool = True) -> tuple[str, str]:
    splitter = ThoughtSplitter(thinks=thinks)
    words = [word for part in parts for word in splitter.push(part)]
    words += splitter.finish(complete=complete)
    assert all(word.text for word in words)
    thought = "".join(word.text for word in words if word.thought)
    return thought, "".join(word.text for word in words if not word.thought)


@pytest.mark.parametrize(
    ("text", "thinks", "complete", "thought", "said"),
    [
        ("\n hello world", False, True, "", "hello world"),
        ("seven </think is", False, True, "", "seven </think is"),
        ("\nhm, 7 + 5 …\n</think>\n\ntwelve it is", True, True, "hm, 7 + 5 …", "twelve it is"),
        ("</think>\n\ntwelve", True, True, "", "twelve"),
        ("\n\n</think>twelve</think>", True, True, "", "twelve</think>"),
        ("a < b </thin", True, False, "a < b </thin", ""),
        ("no thought", True, True, "no thought", "no thought"),
        ("cut short ", True, False, "cut short", ""),
        ("", True, True, "", ""),
    ],
)
def test_thoughts_are_told_from_words(
    text: str, thinks: bool, complete: bool, thought: str, said: str
) -> None:
    for parts in cuts(text):
        assert split(parts, thinks=thinks, complete=complete) == (thought, said), parts


@pytest.mark.parametrize(
    ("text", "stops", "said"),
    [
        ("one two three", ["two"], "one "),
        ("one two three", ["three", "two"], "one "),
        ("one two three", ["four"], "one two three"),
        ("aab", ["ab"], "a"),
        ("aaaa", ["aaab"], "aaaa"),
        ("x###", ["###"], "x"),
        ("end\n\nof", ["\n\n"], "end"),
        ("stop", ["stop"], ""),
        ("nothing", [], "nothing"),
    ],
)
def test_a_text_ends_in_front_of_the_first_stop_word(
    text: str, stops: list[str], said: str
) -> None:
    for parts in cuts(text):
        words = StopWords(stops)
        assert "".join([*map(words.push, parts), words.finish()]) == said, parts
        assert words.met == (said != text)


def test_nothing_waits_that_cannot_become_a_stop_word() -> None:
    words = StopWords(["<end>"])
    assert words.push("a <") == "a "
    assert words.push("b") == "<b"
