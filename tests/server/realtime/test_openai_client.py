"""The published `openai` package as the client."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from openai.types.realtime import (
    InputAudioBufferSpeechStartedEvent,
    RealtimeErrorEvent,
    RealtimeServerEvent,
    ResponseDoneEvent,
    SessionCreatedEvent,
    SessionUpdatedEvent,
)

from ..running import Running
from .talker import base64_of, question, silence

Connection = AsyncRealtimeConnection
_LONGEST_S = 100


def talk(live: Running, script: Callable[[Connection], Awaitable[None]]) -> None:
    """Run a script against the server."""

    async def run() -> None:
        client = AsyncOpenAI(api_key="none", base_url=f"{live.url}/v1")
        async with client.realtime.connect(model="gpt-realtime") as connection:
            assert isinstance(await connection.recv(), SessionCreatedEvent)
            await script(connection)

    asyncio.run(asyncio.wait_for(run(), _LONGEST_S))


async def say(connection: Connection, pcm: np.ndarray, *, chunk: int = 2400) -> None:
    for start in range(0, len(pcm), chunk):
        audio = base64_of(pcm[start : start + chunk])
        await connection.input_audio_buffer.append(audio=audio)
        await asyncio.sleep(chunk / 24_000 / 4)  # four times as fast as it was said


async def until(connection: Connection, kind: type[Any]) -> tuple[Any, list[RealtimeServerEvent]]:
    """The next event of a type, and what came before it."""
    before: list[RealtimeServerEvent] = []
    while True:
        event = await connection.recv()
        if isinstance(event, kind):
            return event, before
        assert not isinstance(event, RealtimeErrorEvent), event
        before.append(event)


def transcript(done: ResponseDoneEvent) -> str:
    (item,) = done.response.output or []
    (part,) = item.content or []  # type: ignore[union-attr]
    return (part.transcript or part.text or "").strip()  # type: ignore[union-attr]


def test_server_vad(live: Running) -> None:
    async def script(connection: Connection) -> None:
        await connection.session.update(
            session={
                "type": "realtime",
                "audio": {
                    "input": {
                        "turn_detection": {"type": "server_vad", "silence_duration_ms": 400},
                        "transcription": {"model": "whisper-1", "language": "en"},
                    },
                    "output": {"voice": "marin"},
                },
            }
        )
        updated, _ = await until(connection, SessionUpdatedEvent)
        assert updated.session.audio.input.turn_detection.silence_duration_ms == 400
        await say(connection, np.concatenate([question("sum"), silence(1.0)]))
        done, events = await until(connection, ResponseDoneEvent)
        assert transcript(done) == "seven plus five is twelve"
        assert done.response.usage.output_token_details.audio_tokens > 5
        sound = b"".join(
            base64.b64decode(event.delta)
            for event in events
            if event.type == "response.output_audio.delta"
        )
        assert 1 < len(sound) / 2 / 24_000 < 6
        (said,) = [
            event.transcript
            for event in events
            if event.type == "conversation.item.input_audio_transcription.completed"
        ]
        assert said == "what is seven plus five"

    talk(live, script)


def test_interruption_and_truncation(live: Running) -> None:
    async def script(connection: Connection) -> None:
        await say(connection, np.concatenate([question("count"), silence(1.0)]))
        while (event := await connection.recv()).type != "response.output_audio.delta":
            pass
        item = event.item_id
        await say(connection, question("sum"))
        await until(connection, InputAudioBufferSpeechStartedEvent)
        done, _ = await until(connection, ResponseDoneEvent)
        assert done.response.status == "cancelled"
        assert done.response.status_details.reason == "turn_detected"
        await connection.conversation.item.truncate(item_id=item, content_index=0, audio_end_ms=320)
        await say(connection, silence(1.0))
        done, events = await until(connection, ResponseDoneEvent)
        truncated = [event for event in events if event.type == "conversation.item.truncated"]
        assert [event.audio_end_ms for event in truncated] == [320]
        assert transcript(done) == "seven plus five is twelve"

    talk(live, script)


def test_turns_by_hand_text_and_history(live: Running) -> None:
    async def script(connection: Connection) -> None:
        await connection.session.update(
            session={
                "type": "realtime",
                "output_modalities": ["text"],
                "audio": {"input": {"turn_detection": None}},
            }
        )
        history = [
            {
                "role": "user",
                "content": [{"type": "input_audio", "audio": base64_of(question("color"))}],
            },
            {"role": "assistant", "content": [{"type": "output_text", "text": "the sky is blue"}]},
        ]
        for item in history:
            await connection.conversation.item.create(
                item={"type": "message", **item}  # type: ignore[arg-type]
            )
        await say(connection, question("memory"))
        await connection.input_audio_buffer.commit()
        await connection.response.create(response={"metadata": {"turn": "1"}})
        done, _ = await until(connection, ResponseDoneEvent)
        assert transcript(done) == "you said what color is the sky"
        assert done.response.metadata == {"turn": "1"}
        await connection.response.cancel()
        error, _ = await until(connection, object)
        while not isinstance(error, RealtimeErrorEvent):
            error = await connection.recv()
        assert error.error.code == "response_cancel_not_active"
        await connection.response.create(
            response={
                "conversation": "none",
                "input": [
                    {
                        "type": "message",
                        "role": "user",
                        "content": [{"type": "input_text", "text": "What is two plus three?"}],
                    }
                ],
            }
        )
        done, _ = await until(connection, ResponseDoneEvent)
        assert transcript(done) == "two plus three is five"
        assert done.response.conversation_id is None

    talk(live, script)


def test_every_event_is_of_a_type_that_the_package_knows(live: Running) -> None:
    """It takes unknown events too, so it is looked at whether all required fields are there."""

    async def script(connection: Connection) -> None:
        await connection.session.update(
            session={
                "type": "realtime",
                "audio": {"input": {"transcription": {"model": "whisper-1"}}},
            }
        )
        await say(connection, np.concatenate([question("name"), silence(1.0)]))
        done, events = await until(connection, ResponseDoneEvent)
        await connection.conversation.item.retrieve(item_id=done.response.output[0].id)
        await connection.conversation.item.delete(item_id=done.response.output[0].id)
        await connection.input_audio_buffer.clear()
        while (event := await connection.recv()).type != "input_audio_buffer.cleared":
            events.append(event)
        for event in [*events, done]:
            missing = [
                name
                for name, field in type(event).model_fields.items()
                if field.is_required() and getattr(event, name, None) is None
            ]
            assert not missing, (event.type, missing)
            assert type(event).model_fields["type"].annotation.__args__ == (event.type,)

    talk(live, script)
