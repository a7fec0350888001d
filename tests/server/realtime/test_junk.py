"""Events whose fields hold anything: refused or taken, and the session goes on."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import pytest

from mimo_edge.server.realtime.client_events import read_json
from mimo_edge.server.requests.api_errors import ApiError

from .scripted import QUIET, VOICE, Sides

AUDIO = base64.b64encode(b"\1\2" * 3000).decode()
NAMES = [
    *("session", "audio", "item", "item_id", "content", "response", "type", "role", "text"),
    *("input", "output", "format", "rate", "turn_detection", "voice", "instructions"),
]
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 0.5, 1e9, -1e300, float("inf"), float("nan"), 2**70,
    "", "a", "root", "none", "auto", "inf", "message", "user", "assistant", "system", "text",
    "audio", "input_text", "input_audio", "output_text", "output_audio", "item_reference",
    "server_vad", "semantic_vad", "audio/pcm", "realtime", "low", "\0", "💥", "x" * 2000, AUDIO,
]  # fmt: skip


FORMAT = {"type": "audio/pcm", "rate": 24000}
MESSAGE = {
    "type": "message",
    "id": "a",
    "role": "user",
    "content": [{"type": "input_text", "text": "a"}, {"type": "input_audio", "audio": AUDIO}],
}
VALID: list[dict[str, Any]] = [
    {
        "type": "session.update",
        "session": {
            "type": "realtime",
            "output_modalities": ["text"],
            "instructions": "a",
            "max_output_tokens": 5,
            "audio": {
                "input": {
                    "format": FORMAT,
                    "transcription": {"model": "a"},
                    "turn_detection": {"type": "server_vad", "threshold": 0.5},
                },
                "output": {"format": FORMAT, "voice": {"id": "a"}, "speed": 1},
            },
        },
    },
    {"type": "input_audio_buffer.append", "audio": AUDIO},
    {"type": "input_audio_buffer.commit"},
    {"type": "input_audio_buffer.clear"},
    {"type": "conversation.item.create", "previous_item_id": None, "item": MESSAGE},
    {"type": "conversation.item.delete", "item_id": "a"},
    {"type": "conversation.item.retrieve", "item_id": "a"},
    {
        "type": "conversation.item.truncate",
        "item_id": "a",
        "content_index": 0,
        "audio_end_ms": 5,
    },
    {
        "type": "response.create",
        "response": {
            "conversation": "none",
            "output_modalities": ["audio"],
            "metadata": {"a": "b"},
            "input": [MESSAGE, {"type": "item_reference", "id": "a"}],
            "audio": {"output": {"format": FORMAT, "voice": "a"}},
        },
    },
    {"type": "response.cancel", "response_id": "a"},
]


def junk(source: random.Random, depth: int = 0) -> Any:
    """Something that could be in an event, mostly in the wrong place."""
    kind = source.random()
    if depth > 3 or kind < 0.6:
        return source.choice(VALUES)
    if kind < 0.7:
        return [junk(source, depth + 1) for _ in range(source.randrange(3))]
    return {source.choice(NAMES): junk(source, depth + 1) for _ in range(source.randrange(4))}


def spoilt(given: Any, source: random.Random) -> Any:
    """The same with something else in one place, or with one more field, or without one."""
    if isinstance(given, dict) and given and source.random() < 0.9:
        name = source.choice([*given])
        if source.random() < 0.1:
            return {key: value for key, value in given.items() if key != name}
        if source.random() < 0.1:
            return {**given, source.choice(NAMES): junk(source)}
        return {**given, name: spoilt(given[name], source)}
    if isinstance(given, list) and given and source.random() < 0.9:
        index = source.randrange(len(given))
        return [*given[:index], spoilt(given[index], source), *given[index + 1 :]]
    return junk(source)


@pytest.mark.parametrize("seed", range(6))
def test_junk_is_refused_or_taken_and_ends_nothing(seed: int) -> None:
    source, sides = random.Random(seed), Sides()
    taken = 0
    for number in range(1500):
        valid = source.choice(VALID)
        given = valid if source.random() < 0.2 else spoilt(valid, source)
        try:
            sides.take(read_json(json.dumps(given)))
            taken += 1
        except ApiError as error:
            assert error.status in (400, 429) and len(error.message) < 1500
        if number % 50 == 0:
            sides.say((VOICE, 0.4), (QUIET, 0.2))
    assert taken > 150
    for event in sides.events:
        json.dumps(event, ensure_ascii=False).encode()
    sides.configure(
        output_modalities=["audio"], audio={"input": {"turn_detection": {"type": "server_vad"}}}
    )
    sides.wait(60.0)
    if "response.created" in sides.kinds and sides.session.busy:
        sides.send("response.cancel")
    before = len(sides.model.answers)
    sides.turn()
    assert len(sides.model.answers) == before + 1
