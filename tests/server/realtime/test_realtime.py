"""A conversation over a bare websocket."""

from __future__ import annotations

import numpy as np

from .talker import Talker, kinds, question, silence, sound_of, words


def test_the_first_event_is_session_created_and_an_update_is_answered_once(
    talker: Talker,
) -> None:
    talker.send("session.update", session={"type": "realtime", "instructions": "Be kind."})
    event = talker.next()
    assert event["type"] == "session.updated"
    assert event["session"]["instructions"] == "Be kind."
    assert event["session"]["audio"]["input"]["turn_detection"]["type"] == "server_vad"
    assert talker.now() == []


def test_a_spoken_question_is_answered_in_speech(talker: Talker) -> None:
    talker.configure(audio={"input": {"transcription": {"model": "whisper-1"}}})
    response = talker.ask("sum")
    assert words(response) == "seven plus five is twelve"
    assert response["status"] == "completed"
    assert 1 < len(sound_of(talker.events)) / 24_000 < 6
    talker.now()
    completed = "conversation.item.input_audio_transcription.completed"
    (transcript,) = [event for event in talker.events if event["type"] == completed]
    assert transcript["transcript"] == "what is seven plus five"
    assert kinds(talker.events)[2:8] == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]


def test_it_remembers(talker: Talker) -> None:
    talker.ask("color")
    response = talker.ask("memory")
    assert words(response) == "you said what color is the sky"
    usage = response["usage"]
    assert usage["input_token_details"]["cached_tokens"] > usage["input_tokens"] / 2
    assert usage["input_token_details"]["audio_tokens"] > 20
    assert usage["output_token_details"]["audio_tokens"] > 5


def test_turns_by_hand(talker: Talker) -> None:
    talker.configure(audio={"input": {"turn_detection": None}})
    talker.say(np.concatenate([question("sum"), silence(2.0)]))
    assert talker.now() == []
    talker.send("input_audio_buffer.commit")
    talker.until("conversation.item.done")
    assert talker.now() == []
    talker.send("response.create")
    assert words(talker.answer()) == "seven plus five is twelve"


def test_a_written_question_is_answered_in_text(talker: Talker) -> None:
    talker.configure(output_modalities=["text"])
    content = [{"type": "input_text", "text": "What is two plus three?"}]
    talker.send(
        "conversation.item.create", item={"type": "message", "role": "user", "content": content}
    )
    talker.send("response.create", response={"metadata": {"why": "test"}})
    response = talker.answer()
    assert words(response) == "two plus three is five"
    assert response["metadata"] == {"why": "test"}
    assert "response.output_text.done" in kinds(talker.events)
    assert not len(sound_of(talker.events))
