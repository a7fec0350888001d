"""What was heard of a server's answer that was interrupted."""

from __future__ import annotations

import numpy as np

from mimo_edge.remote.remote_answer import RemoteAnswer
from mimo_edge.remote.server_events import AudioDelta

RATE = 1000


def answer(*pieces: str | float, item: str = "a") -> RemoteAnswer:
    """Of pieces of text and seconds of sound, as they come."""
    made = RemoteAnswer(turn=1, question=np.zeros(0, np.float32))
    for piece in pieces:
        if isinstance(piece, str):
            made.add_text(piece)
        else:
            made.add_sound(AudioDelta(response_id="r", item_id=item, delta=""), int(piece * RATE))
    return made


def test_the_share_of_the_text_is_that_of_the_sound() -> None:
    made = answer("one two three four", 2.0)
    made.end("stop", None, RATE)
    said = [made.heard_text(heard, RATE) for heard in (0, 500, 1000, 1500, 2000, 9000)]
    assert said == ["", "one", "one two", "one two three", *["one two three four"] * 2]


def test_text_that_came_later_was_not_heard() -> None:
    made = answer("one ", 3.0, "two", 0.1)
    made.end("stop", None, RATE)
    assert made.heard_text(2900, RATE) == "one"


def test_text_runs_ahead_of_sound_that_has_not_come() -> None:
    assert answer("one two three four five six seven", 0.5).heard_text(500, RATE) == "one two"
    assert answer("一二三四五六七八九十", 0.5).heard_text(500, RATE) == "一二"


def test_every_item_is_cut_at_its_own_place() -> None:
    made = answer(1.0)
    made.add_sound(AudioDelta(response_id="r", item_id="b", delta=""), 2000)
    assert [tuple(cut) for cut in made.cuts(400, RATE)] == [("a", 0, 400), ("b", 0, 0)]
    assert [tuple(cut) for cut in made.cuts(1500, RATE)] == [("b", 0, 500)]
    assert not made.cuts(3000, RATE)
