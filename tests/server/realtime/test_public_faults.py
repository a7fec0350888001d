"""Faults that other realtime servers had in public, each looked for here.

The names of the tests say the project and the number of its issue.
"""

from __future__ import annotations

import base64
import json
import socket
import threading
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from websockets.sync.client import connect

from mimo_edge.server.options import Limits, ServerOptions
from training.words import word_errors

from ..running import Running, running
from .scripted import Sides
from .talker import RATE, Talker, base64_of, kinds, question, silence, sound_of, talking, words

SUM = "seven plus five is twelve"
MANUAL = {"input": {"turn_detection": None}}


def spoken_item(talker: Talker) -> str:
    """The item of the answer that is on its way."""
    added = talker.until(
        "conversation.item.added", lambda event: event["item"]["role"] == "assistant"
    )
    item: str = added["item"]["id"]
    return item


def interrupt(talker: Talker) -> dict[str, Any]:
    """Speak over an answer that is on its way; how it ended."""
    talker.say(question("color")[: RATE // 2])
    talker.until("input_audio_buffer.speech_started")
    return talker.answer()


def test_pipecat_3677_a_truncation_beyond_the_audio_leaves_nobody_silent(talker: Talker) -> None:
    talker.say(np.concatenate([question("sum"), silence(1.0)]))
    item = spoken_item(talker)
    talker.answer()
    sent_ms = 1000 * len(sound_of(talker.events)) / RATE
    place = {"item_id": item, "content_index": 0}
    talker.send("conversation.item.truncate", audio_end_ms=sent_ms + 700, **place)
    assert talker.until("conversation.item.truncated")["audio_end_ms"] == int(sent_ms)
    talker.send("conversation.item.truncate", audio_end_ms=60_000, **place)
    assert talker.until("error")["error"]["param"] == "audio_end_ms"
    assert words(talker.ask("color")) == "the sky is blue"


def test_livekit_agents_6157_interruption_before_the_first_sound(talker: Talker) -> None:
    talker.configure(audio={"input": {"turn_detection": {"type": "server_vad"}}})
    both = [question("sum"), silence(0.8), question("color"), silence(1.0)]
    talker.say(np.concatenate(both), chunk=10 * RATE)
    first, second = talker.answer(), talker.answer()
    assert first["status"] == "cancelled" and first["output"] == []
    assert first["status_details"]["reason"] == "turn_detected"
    assert second["status"] == "completed" and words(second)


def test_agent_squad_561_a_client_that_never_truncates(talker: Talker) -> None:
    """What was sent and not played before the interruption is not remembered."""
    talker.say(np.concatenate([question("count"), silence(1.0)]))
    item = spoken_item(talker)
    while len(sound_of(talker.events)) < 0.7 * RATE:  # sent at once, and not played at once
        talker.until("response.output_audio.delta")
    assert interrupt(talker)["status_details"]["reason"] == "turn_detected"
    sent = len(sound_of(talker.events))
    talker.send("conversation.item.retrieve", item_id=item)
    part = talker.until("conversation.item.retrieved")["item"]["content"][0]
    kept = len(base64.b64decode(part["audio"])) // 2
    assert kept < sent - RATE // 4 and part["transcript"] is None
    talker.say(np.concatenate([question("color")[RATE // 2 :], silence(1.0)]))
    answer = talker.answer()
    heard = [
        len(base64.b64decode(part["audio"])) / 2 / RATE / 0.16
        for part in map(lambda asked: sound_part(talker, asked), user_items(talker))
    ]
    patches = answer["usage"]["input_token_details"]["audio_tokens"]
    assert patches <= sum(heard) + kept / RATE / 0.16 + 2


def user_items(talker: Talker) -> list[str]:
    committed = [e for e in talker.events if e["type"] == "input_audio_buffer.committed"]
    return [event["item_id"] for event in committed]


def sound_part(talker: Talker, item: str) -> dict[str, Any]:
    talker.send("conversation.item.retrieve", item_id=item)
    part: dict[str, Any] = talker.until("conversation.item.retrieved")["item"]["content"][0]
    return part


def test_sglang_omni_1344_a_cancel_keeps_the_turn_that_interrupts(talker: Talker) -> None:
    talker.say(np.concatenate([question("count"), silence(1.0)]))
    talker.until("response.output_audio.delta")
    talker.say(question("sum"))
    assert talker.answer()["status"] == "cancelled"
    talker.send("response.cancel")  # as clients do on `speech_started`
    assert talker.until("error")["error"]["code"] == "response_cancel_not_active"
    talker.say(silence(1.0))
    assert words(talker.answer()) == SUM


def test_sglang_omni_1322_a_second_utterance_inside_one_chunk(talker: Talker) -> None:
    detection = {"type": "server_vad", "create_response": False}
    talker.configure(audio={"input": {"turn_detection": detection, "transcription": {}}})
    both = [question("sum"), silence(1.0), question("color"), silence(1.0)]
    talker.say(np.concatenate(both), chunk=60 * RATE)
    heard = [
        talker.until("conversation.item.input_audio_transcription.completed")["transcript"]
        for _ in range(2)
    ]
    assert heard == ["what is seven plus five", "what color is the sky"]


def test_sglang_omni_385_offsets_stay_right_after_the_first_turn(talker: Talker) -> None:
    detection = {"type": "server_vad", "create_response": False}
    talker.configure(audio={"input": {"turn_detection": detection}})
    said = question("sum")
    begins, sent = [], 0.0
    for _ in range(3):
        begins.append(1000 * (sent + 1.0))
        talker.say(np.concatenate([silence(1.0), said, silence(1.0)]))
        sent += 2.0 + len(said) / RATE
        talker.until("input_audio_buffer.committed")
    started = [e for e in talker.events if e["type"] == "input_audio_buffer.speech_started"]
    stopped = [e for e in talker.events if e["type"] == "input_audio_buffer.speech_stopped"]
    padding = [
        event["audio_start_ms"] - begin for event, begin in zip(started, begins, strict=True)
    ]
    assert max(padding) - min(padding) < 70  # two of the detector's steps
    lengths = [
        end["audio_end_ms"] - start["audio_start_ms"]
        for start, end in zip(started, stopped, strict=True)
    ]
    assert max(lengths) - min(lengths) < 140


def test_sglang_omni_385_each_session_has_a_detector_of_its_own(live: Running) -> None:
    with talking(live.url) as speaking, talking(live.url) as quiet:
        said = np.concatenate([question("sum"), silence(1.0)])
        for start in range(0, len(said), 2400):
            speaking.send("input_audio_buffer.append", audio=base64_of(said[start : start + 2400]))
            quiet.send("input_audio_buffer.append", audio=base64_of(silence(0.1)))
        assert words(speaking.answer()) == SUM
        assert quiet.now() == []


def test_speech_to_speech_226_nothing_of_a_cancelled_answer_comes_later(talker: Talker) -> None:
    talker.say(np.concatenate([question("count"), silence(1.0)]))
    talker.until("response.output_audio.delta")
    cancelled = interrupt(talker)["id"]
    talker.say(np.concatenate([question("color")[RATE // 2 :], silence(1.0)]))
    behind = len(talker.events)
    talker.answer()
    stale = [e for e in talker.events[behind:] if e.get("response_id") == cancelled]
    assert stale == []


def test_speech_to_speech_226_nothing_leaks_into_the_next_session(live: Running) -> None:
    with talking(live.url) as first:
        first.say(np.concatenate([question("count"), silence(1.0)]))
        first.until("response.output_audio.delta")
    with talking(live.url) as second:
        assert second.now() == []
        second.configure(output_modalities=["text"])
        second.say(np.concatenate([question("memory"), silence(1.0)]))
        answer = second.answer()
        assert "count" not in words(answer)
        assert answer["usage"]["input_token_details"]["cached_tokens"] <= 100


def test_speech_to_speech_439_done_comes_once_for_an_item(talker: Talker) -> None:
    talker.configure(audio={"input": {"transcription": {"model": "whisper-1"}}})
    talker.ask("repeat")
    talker.now()
    came = kinds(talker.events)
    for kind in (
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.done",
        "conversation.item.input_audio_transcription.completed",
    ):
        assert came.count(kind) == 1, kind
    assert came.count("response.output_audio.delta") > 3


def test_speech_to_speech_557_a_client_gets_a_reserve_before_it_runs_dry() -> None:
    """All sound there is, up to a second, is sent at once, and the reserve is kept up."""
    sides = Sides()
    sides.turn()
    sides.sound(0.7)
    assert sides.sent_s == pytest.approx(0.7)
    sides.sound(3.0)
    for _ in range(20):
        sides.wait(0.1)
        played = 0.1 * len(range(_ + 1))
        assert sides.sent_s - played > 0.75


def test_localai_10391_a_second_connection_is_served(live: Running) -> None:
    with talking(live.url) as first, talking(live.url) as second:
        for talker in (first, second):
            talker.configure(output_modalities=["text"])
        assert words(first.ask("sum")) == SUM
        assert words(second.ask("color")) == "the sky is blue"
    with talking(live.url) as third:
        assert words(third.ask("sum")) == SUM


def test_speaches_559_an_unwanted_response_ends_nothing(talker: Talker) -> None:
    talker.send("response.create")  # there is nothing to answer yet
    talker.answer()
    talker.say(np.concatenate([question("count"), silence(1.0)]))
    talker.until("response.created")
    talker.send("response.create", event_id="too many")
    error = talker.until("error")["error"]
    assert error["code"] == "conversation_already_has_active_response"
    assert error["event_id"] == "too many"
    assert talker.answer()["status"] == "completed"
    assert words(talker.ask("sum")) == SUM


def test_speaches_277_a_silent_client_is_not_idle() -> None:
    options = ServerOptions(port=0, limits=Limits(idle_s=1.0, conversations=2))
    with running(options) as server, talking(server.url) as talker:
        for _ in range(30):
            talker.say(silence(0.1), pace=1.0)
        assert talker.now() == []
        # One who sends nothing at all is, and is told so.
        assert talker.until("error")["error"]["code"] == "idle"
        with pytest.raises(Exception, match="1000"):
            talker.next()


def test_vllm_34532_a_client_that_vanishes_takes_nobody_along(live: Running) -> None:
    address = urlsplit(live.url)
    with talking(live.url) as other:
        other.configure(output_modalities=["text"])
        for _ in range(5):
            with socket.create_connection((address.hostname, address.port)) as raw:
                raw.sendall(
                    b"GET /v1/realtime HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
                    b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                    b"Sec-WebSocket-Version: 13\r\n\r\n"
                )
                raw.recv(100)
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        for _ in range(3):
            with talking(live.url) as gone:
                gone.say(np.concatenate([question("count"), silence(1.0)]))
                gone.until("response.created")
                gone.socket.socket.shutdown(socket.SHUT_RDWR)
        assert words(other.ask("sum")) == SUM
    assert live.client.get("/health").status_code == 200


def test_vllm_omni_7636_an_open_that_is_given_up_leaves_no_place_taken() -> None:
    options = ServerOptions(port=0, limits=Limits(conversations=1))
    with running(options) as server:
        address = urlsplit(server.url)
        for _ in range(10):
            with socket.create_connection((address.hostname, address.port)) as raw:
                raw.sendall(
                    b"GET /v1/realtime HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
                    b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                    b"Sec-WebSocket-Version: 13\r\n\r\n"
                )
        for _ in range(100):
            with connect(f"{server.url.replace('http', 'ws')}/v1/realtime") as web:
                event = json.loads(web.recv())
            if event["type"] == "session.created":
                return
            assert event["error"]["code"] == "too_many_conversations"
        raise AssertionError("no place became free")


def test_vllm_omni_7413_a_resumed_session_keeps_its_input_format(live: Running) -> None:
    rate = 16_000
    format_of = {"format": {"type": "audio/pcm", "rate": rate}, "turn_detection": None}
    asked = base64_of(question("color", rate))
    with talking(live.url) as talker:
        talker.configure(audio={"input": format_of})
        history = [
            ("user", {"type": "input_audio", "audio": asked}),
            ("assistant", {"type": "output_text", "text": "the sky is blue"}),
        ]
        for role, part in history:
            item = {"type": "message", "role": role, "content": [part]}
            talker.send("conversation.item.create", item=item)
        shown = talker.configure(instructions="")
        assert shown["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": rate}
        talker.say(question("memory", rate))
        talker.send("input_audio_buffer.commit")
        talker.send("response.create")
        assert words(talker.answer()) == "you said what color is the sky"


def test_vllm_omni_4957_4020_no_sound_is_lost_or_mixed_under_load(live: Running) -> None:
    answers = {"sum": SUM, "color": "the sky is blue"}
    made: list[tuple[str, int, np.ndarray]] = []

    def answer(name: str) -> None:
        with talking(live.url) as talker:
            response = talker.ask(name)
            patches = response["usage"]["output_token_details"]["audio_tokens"]
            made.append((words(response), patches, sound_of(talker.events)))

    threads = [threading.Thread(target=answer, args=(name,)) for name in [*answers] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(said for said, _, _ in made) == sorted([*answers.values()] * 2)
    for said, patches, sound in made:
        assert len(sound) / RATE == pytest.approx(0.16 * patches, abs=0.1)
        heard = live.service.model.transcribe(sound.astype(np.float32) / np.float32(32768)).text
        errors, _ = word_errors(said, heard)
        assert errors <= 2, (said, heard)
