"""What the items of a conversation keep is bounded, whatever a client puts into them."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from mimo_edge.server.realtime.contents import InputAudio, OutputAudio
from mimo_edge.server.realtime.item_reading import ItemReader
from mimo_edge.server.realtime.items import Items
from mimo_edge.server.requests.api_errors import ApiError

RATE = 24_000
PCM = base64.b64encode(bytes(2 * RATE * 60)).decode()


def given(role: str, kind: str, **part: str) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": [{"type": kind, **part}]}


@pytest.mark.parametrize(
    "item",
    [
        given("user", "input_audio", audio=PCM),
        given("assistant", "output_audio", audio=PCM, transcript="Hello."),
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


def test_the_words_of_sound_count_as_text() -> None:
    reader = ItemReader(RATE, longest_text=1000)
    with pytest.raises(ApiError, match="2000 characters"):
        reader.read(given("user", "input_audio", audio=PCM[:400], transcript="x" * 2000), RATE)
