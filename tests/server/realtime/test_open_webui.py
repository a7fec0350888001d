"""What Open WebUI 0.12.4 sends in a call, and when it reads a text aloud, message by message.

It ends a call at anything unexpected: another event before `session.updated`, any error but
`response_cancel_not_active`, half a sample.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from ..running import Running
from .talker import Event, Talker, base64_of, kinds, question, silence, sound_of, talking, words

FORMAT = {"type": "audio/pcm", "rate": 24000}
TOOL = {
    "type": "function",
    "name": "generate_chat_completion",
    "description": "Handle substantive questions and tasks using the selected chat model.",
    "parameters": {
        "type": "object",
        "properties": {"request": {"type": "string"}},
        "required": ["request"],
        "additionalProperties": False,
    },
}


def begin_call(talker: Talker) -> None:
    talker.send(
        "session.update",
        session={
            "type": "realtime",
            "output_modalities": ["audio"],
            "instructions": "",
            "audio": {
                "input": {
                    "format": FORMAT,
                    "transcription": {"model": "gpt-4o-mini-transcribe"},
                    "turn_detection": {
                        "type": "server_vad",
                        "interrupt_response": False,
                        "create_response": False,
                    },
                },
                "output": {"format": FORMAT, "voice": "marin"},
            },
            "tools": [TOOL],
            "tool_choice": "auto",
        },
    )
    # The very next event.
    assert talker.next()["type"] == "session.updated"


def say(talker: Talker, name: str) -> Event:
    """A question, a second of sound in each message; its transcript."""
    pcm = np.concatenate([question(name), silence(1.0)])
    for start in range(0, len(pcm), 24_000):
        talker.send("input_audio_buffer.append", audio=base64_of(pcm[start : start + 24_000]))
    return talker.until("conversation.item.input_audio_transcription.completed")


def respond(talker: Talker, item: str) -> Event:
    """An answer to an item, asked for once its transcript is there; `response.created`."""
    metadata = {"input_item_id": item}
    talker.send("response.create", response={"metadata": metadata})
    created = talker.until("response.created")
    assert created["response"]["metadata"] == metadata
    return created


def test_a_call(live: Running) -> None:
    with talking(live.url) as talker:
        begin_call(talker)
        heard = say(talker, "sum")
        assert heard["transcript"] == "what is seven plus five"
        assert "response.created" not in kinds(talker.events)  # create_response is false
        created = respond(talker, heard["item_id"])
        done = talker.answer()
        assert done["id"] == created["response"]["id"] and done["status"] == "completed"
        assert done["metadata"] == {"input_item_id": heard["item_id"]}
        assert words(done) == "seven plus five is twelve"
        for event in talker.events:
            if event["type"] == "response.output_audio.delta":
                assert event["content_index"] == 0
                assert len(base64.b64decode(event["delta"], validate=True)) % 2 == 0
        assert len(sound_of(talker.events)) > 24_000


def test_speech_over_an_answer_is_left_to_the_client(live: Running) -> None:
    """It pauses what it plays, waits for the words, then cancels and truncates by itself."""
    with talking(live.url) as talker:
        begin_call(talker)
        created = respond(talker, say(talker, "sum")["item_id"])
        delta = talker.until("response.output_audio.delta")
        heard = say(talker, "name")
        assert heard["transcript"] == "what is your name"
        cancelled = [
            event["response"]["status"] == "cancelled"
            for event in talker.events
            if event["type"] == "response.done"
        ]
        assert not any(cancelled)  # interrupt_response is false
        talker.send("response.cancel", response_id=created["response"]["id"])
        talker.send(
            "conversation.item.truncate",
            item_id=delta["item_id"],
            content_index=delta["content_index"],
            audio_end_ms=100,
        )
        truncated: dict[str, Any] = {}
        while not truncated:
            event = talker.next()
            if event["type"] == "error":  # the answer may have been over
                assert event["error"]["code"] == "response_cancel_not_active"
            if event["type"] == "conversation.item.truncated":
                truncated = event
        assert truncated["audio_end_ms"] == 100
        respond(talker, heard["item_id"])
        answer = talker.until(
            "response.done",
            lambda event: event["response"]["metadata"] == {"input_item_id": heard["item_id"]},
        )
        assert answer["response"]["status"] == "completed"


def test_the_chat_beside_a_call_replaces_what_it_told_before(live: Running) -> None:
    with talking(live.url) as talker:
        begin_call(talker)
        for revision in (1, 2):
            if revision > 1:
                before = f"chat_context_{revision - 1}"
                talker.send("conversation.item.delete", item_id=before)
                assert talker.until("conversation.item.deleted")["item_id"] == before
            talker.send(
                "conversation.item.create",
                item={
                    "id": f"chat_context_{revision}",
                    "type": "message",
                    "role": "system",
                    "content": [{"type": "input_text", "text": "Current chat snapshot\n[]"}],
                },
            )
            added = talker.until("conversation.item.added")
            assert added["item"]["id"] == f"chat_context_{revision}"


def test_a_status_is_told_beside_the_conversation(live: Running) -> None:
    with talking(live.url) as talker:
        begin_call(talker)
        talker.send(
            "response.create",
            response={
                "conversation": "none",
                "input": [],
                "tools": [],
                "tool_choice": "none",
                "instructions": "Say this briefly: I am working on your request.",
                "metadata": {"status": "working"},
            },
        )
        done = talker.answer()
        assert done["metadata"] == {"status": "working"}
        assert done["status"] in ("completed", "incomplete")
        assert "conversation.item.added" not in kinds(talker.events)


def test_a_text_is_read_aloud_by_a_session(live: Running) -> None:
    with talking(live.url) as talker:
        talker.configure(
            output_modalities=["audio"],
            audio={
                "input": {"turn_detection": None, "transcription": None},
                "output": {"format": FORMAT, "voice": "alloy"},
            },
            tools=[],
            tool_choice="none",
            instructions="",
        )
        talker.send(
            "response.create",
            response={
                "conversation": "none",
                "output_modalities": ["audio"],
                "tools": [],
                "tool_choice": "none",
                "instructions": "",
                "input": [
                    {
                        "type": "message",
                        "role": "user",
                        "content": [{"type": "input_text", "text": "what is seven plus five"}],
                    }
                ],
            },
        )
        done = talker.answer()
        assert done["status"] == "completed"
        assert len(sound_of(talker.events)) > 12_000
