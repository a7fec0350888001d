"""What Home Assistant does with the server, with the client library that it uses."""

from __future__ import annotations

import asyncio

import numpy as np
from wyoming.client import AsyncTcpClient
from wyoming.handle import Handled

from mimo_edge.server.wyoming.info import program_version

from .home_assistant import (
    Wyoming,
    converse,
    describe,
    read_sound,
    recording,
    samples_of,
    speak,
    transcribe,
    write_text,
)


def words_of(home: Wyoming, sound: bytes) -> str:
    """What the model hears in PCM at its own rate."""
    return home.http.service.model.transcribe(samples_of(sound)).text


def test_home_assistant_finds_all_three_services(home: Wyoming) -> None:
    info = home.run(describe)
    (asr,), (tts,), (handle,) = info.asr, info.tts, info.handle
    for program in (asr, tts, handle):
        assert program.installed
        assert program.name == "mimo_edge"
        assert program.version == program_version()
        assert program.attribution.url.startswith("https://")
    assert [model.name for model in asr.models] == ["MiMo-Audio-Demo"]
    assert asr.models[0].languages == ["en"]
    assert asr.models[0].installed
    # Without an installed voice with a language Home Assistant cannot make its entity.
    assert [(voice.name, voice.languages, voice.installed) for voice in tts.voices] == [
        ("default", ["en"], True)
    ]
    assert tts.supports_synthesize_streaming
    assert asr.supports_transcript_streaming
    assert handle.models[0].languages == ["en"]
    assert not handle.supports_home_control
    assert not info.intent
    assert not info.wake
    assert info.satellite is None


def test_a_spoken_question_becomes_text(home: Wyoming) -> None:
    sound = recording("sum")
    assert home.run(lambda client: transcribe(client, sound)) == "what is seven plus five"


def test_a_text_becomes_speech(home: Wyoming) -> None:
    sound = home.run(lambda client: speak(client, "Seven plus five is twelve."))
    assert words_of(home, sound) == "seven plus five is twelve"


def test_a_text_that_comes_in_pieces_is_spoken_once(home: Wyoming) -> None:
    async def conversation(client: AsyncTcpClient) -> bytes:
        writing = asyncio.create_task(write_text(client, ["Seven plus", " five is ", "twelve."]))
        sound = b"".join([piece async for piece in read_sound(client)])
        await writing
        return sound

    assert words_of(home, home.run(conversation)) == "seven plus five is twelve"


def test_a_question_is_answered_and_remembered(home: Wyoming) -> None:
    first = home.run(lambda client: converse(client, "what is seven plus five", "one"))
    assert first == Handled(
        text="seven plus five is twelve",
        context={"conversation_id": "one", "device_id": "kitchen"},
    )
    # Home Assistant opens a connection for each turn.
    again = home.run(lambda client: converse(client, "what did i just say", "one"))
    assert again.text == "you said what is seven plus five"
    other = home.run(lambda client: converse(client, "what did i just say", "two"))
    assert "seven" not in (other.text or "")


def test_a_whole_round_from_speech_to_speech(home: Wyoming) -> None:
    heard = home.run(lambda client: transcribe(client, recording("sum")))
    answer = home.run(lambda client: converse(client, heard, "round"))
    sound = home.run(lambda client: speak(client, answer.text or ""))
    assert words_of(home, sound) == "seven plus five is twelve"
    assert np.abs(samples_of(sound)).max() > 0.05
