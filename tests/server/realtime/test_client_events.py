"""Messages of clients, right and wrong."""

from __future__ import annotations

from typing import Any

import pytest

from mimo_edge.server.realtime.client_events import event_id_of, read_event, read_json
from mimo_edge.server.requests.api_errors import ApiError

from .scripted import Sides


@pytest.mark.parametrize(
    "text",
    ["", "{", "hello", '{"type": "a\\ud800"}', "[" * 100_000, "1" * 5000],
)
def test_what_is_not_json_is_refused_shortly(text: str) -> None:
    with pytest.raises(ApiError) as raised:
        read_json(text)
    assert raised.value.code == "invalid_json" and len(raised.value.message) < 300


@pytest.mark.parametrize(
    ("given", "param"),
    [
        (None, "type"),
        ([], "type"),
        ({}, "type"),
        ({"type": 5}, "type"),
        ({"type": "transcription_session.update"}, "type"),
        ({"type": "input_audio_buffer.append"}, "audio"),
        ({"type": "input_audio_buffer.append", "audio": 5}, "audio"),
        ({"type": "session.update", "session": "x"}, "session"),
        ({"type": "conversation.item.truncate", "item_id": "a"}, "audio_end_ms"),
        (
            {
                "type": "conversation.item.truncate",
                "item_id": "a",
                "content_index": 1,
                "audio_end_ms": 5,
            },
            "content_index",
        ),
        ({"type": "response.create", "response": "now"}, "response"),
    ],
)
def test_what_is_no_event_is_refused_by_name(given: Any, param: str) -> None:
    with pytest.raises(ApiError) as raised:
        read_event(given)
    assert raised.value.param == param


def test_an_error_names_the_event_by_its_id() -> None:
    assert event_id_of({"event_id": "mine"}) == "mine"
    assert event_id_of({"event_id": 5}) is None
    assert event_id_of("x") is None


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"type": "message", "role": "user", "content": [{"type": "input_image"}]}, "input_image"),
        ({"type": "message", "role": "user", "content": [{"type": "input_text"}]}, "missing"),
        ({"type": "message", "role": "judge", "content": []}, "judge"),
        ({"type": "mcp_call", "id": "x"}, "mcp_call"),
        ({"type": "message", "role": "user", "content": "text"}, "content"),
        (
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "x" * 1001}],
            },
            "1000",
        ),
        (
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_audio", "audio": "%"}],
            },
            "base64",
        ),
        (
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_audio", "audio": ""}],
            },
            "no sample",
        ),
    ],
)
def test_items_that_cannot_be_taken_are_refused(item: dict[str, Any], said: str) -> None:
    error = Sides().refused("conversation.item.create", item=item)
    assert said in error.message and error.param is not None and error.param.startswith("item")


def test_items_of_other_models_are_kept() -> None:
    """A replayed history may hold calls of functions."""
    sides = Sides()
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "id": "call"}
    output = {"type": "function_call_output", "call_id": "c", "output": "5"}
    sides.send("conversation.item.create", item=call)
    sides.send("conversation.item.create", item=output)
    assert sides.retrieve("call")["name"] == "f"
    assert len(sides.all("conversation.item.done")) == 2
    sides.send("response.create")
    assert sides.model.answers[-1][1].said == ()
