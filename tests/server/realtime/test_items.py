"""What the items of a conversation keep of what a client puts into them: it is bounded."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from mimo_edge.server.realtime.contents import InputAudio, OutputAudio
from mimo_edge.server.realtime.item_reading import ItemReader
from mimo_edge.server.realtime.items import Items
from mimo_edge.server.requests.api_errors import ApiError

from .scripted import RATE, Sides, seconds_of


def pcm(seconds: float) -> str:
    return base64.b64encode(bytes(2 * round(RATE * seconds))).decode()


def given(role: str, kind: str, **part: str) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": [{"type": kind, **part}]}


@pytest.mark.parametrize(
    "item",
    [
        given("user", "input_audio", audio=pcm(60)),
        given("assistant", "output_audio", audio=pcm(60), transcript="Hello."),
    ],
)
def test_old_sound_is_forgotten_of_both_sides(item: dict[str, Any]) -> None:
    items, reader = Items(RATE), ItemReader(RATE, longest_text=1000)
    for _ in range(20):
        items.add(reader.read(item, RATE))
    kept = [
        content.utterance.length / RATE
        for each in items
        for content in each.contents
        if isinstance(content, InputAudio | OutputAudio)
        and content.utterance is not None
        and content.utterance.samples is not None
    ]
    assert len(items.ids) == 20
    assert 0 < sum(kept) <= 300


def test_an_answer_that_was_given_comes_back_with_its_sound_and_is_not_truncated() -> None:
    """How much of its words was heard cannot be known, other than of an answer made here."""
    sides = Sides()
    said = given("assistant", "output_audio", audio=pcm(2.0), transcript="Two seconds.")
    sides.send("conversation.item.create", item={**said, "id": "given"})
    truncation = {"item_id": "given", "content_index": 0}
    for audio_end_ms in (0, 500, 2000):
        error = sides.refused("conversation.item.truncate", **truncation, audio_end_ms=audio_end_ms)
        assert error.param == "item_id" and "'given'" in error.message
    [content] = sides.retrieve("given")["content"]
    assert content["transcript"] == "Two seconds."
    assert seconds_of(content) == 2.0


def test_the_words_of_sound_count_as_text() -> None:
    reader = ItemReader(RATE, longest_text=1000)
    with pytest.raises(ApiError, match="2000 characters"):
        reader.read(given("user", "input_audio", audio=pcm(0.01), transcript="x" * 2000), RATE)
