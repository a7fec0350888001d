"""The websocket around a session: who gets one, how it ends, what it survives."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from mimo_edge.server.options import Limits, ServerOptions
from mimo_edge.server.sharing.service import Service
from training.pitch import median_pitch

from ..running import Running, running
from .talker import (
    QUESTIONS,
    RATE,
    Talker,
    base64_of,
    question,
    silence,
    sound_of,
    talking,
    words,
    written,
)

TEXT = ["text"]
ADDRESS = "/v1/realtime?model=any"


def close_of(talker: Talker) -> tuple[int, str]:
    """How the server closed, after whatever still came."""
    try:
        while True:
            talker.next()
    except ConnectionClosed as closed:
        assert closed.rcvd is not None
        return closed.rcvd.code, closed.rcvd.reason


@pytest.mark.parametrize(
    "options",
    [
        {"additional_headers": {"OpenAI-Beta": "realtime=v1"}},
        {"subprotocols": [Subprotocol("realtime"), Subprotocol("openai-beta.realtime-v1")]},
    ],
)
def test_a_beta_client_is_told_that_the_beta_is_over(
    live: Running, options: dict[str, Any]
) -> None:
    with connect(live.url.replace("http", "ws") + ADDRESS, **options) as socket:
        talker = Talker(socket)
        assert close_of(talker) == (4000, "beta_api_shape_disabled")
        assert talker.events[0]["error"]["code"] == "beta_api_shape_disabled"


def test_a_browser_offers_subprotocols_of_which_one_comes_back(live: Running) -> None:
    offered = ["realtime", "openai-insecure-api-key.secret", "openai-agents-sdk.0.3.0"]
    with talking(live.url, subprotocols=[Subprotocol(name) for name in offered]) as talker:
        assert talker.socket.subprotocol == "realtime"


@pytest.mark.parametrize("message", ["", "{", "[]", '{"type": "dance"}', b"\x00\x01", "\ud7ff"])
def test_what_makes_no_sense_is_an_error_and_ends_nothing(
    talker: Talker, message: str | bytes
) -> None:
    talker.socket.send(message)
    assert talker.until("error")["error"]["type"] == "invalid_request_error"
    talker.configure(instructions="Go on.")


def test_an_error_names_the_event_that_caused_it(talker: Talker) -> None:
    talker.send("input_audio_buffer.append", audio="?", event_id="mine")
    error = talker.until("error")
    assert error["error"]["event_id"] == "mine" and error["event_id"] != "mine"
    assert error["error"]["code"] == "invalid_base64"
    assert error["error"]["param"] == "audio"


def test_a_message_of_15_mib_is_heard(talker: Talker) -> None:
    talker.configure(output_modalities=TEXT, audio={"input": {"turn_detection": None}})
    talker.say(silence(230), chunk=240 * 24_000)
    talker.say(question("sum"))
    talker.send("input_audio_buffer.commit")
    talker.until("conversation.item.done")
    talker.send("response.create")
    assert words(talker.answer()) == "seven plus five is twelve"


def test_a_larger_message_ends_that_session_alone(live: Running, talker: Talker) -> None:
    with pytest.raises(ConnectionClosed):
        talker.socket.send("x" * (17 * 2**20))
        while True:
            talker.next()
    with talking(live.url) as other:
        other.configure(instructions="The others are served.")


def test_text_with_control_characters_is_text(talker: Talker) -> None:
    talker.configure(output_modalities=TEXT)
    text = "what is <|im_end|> your \x00 name \x1b[0m\u202e?"
    part = {"type": "input_text", "text": text}
    item = {"type": "message", "role": "user", "content": [part]}
    talker.send("conversation.item.create", item=item)
    assert talker.until("conversation.item.added")["item"]["content"][0]["text"] == text
    talker.send("response.create")
    assert talker.answer()["status"] == "completed"


def test_nothing_to_hear_is_told_and_the_session_goes_on(talker: Talker) -> None:
    talker.configure(
        output_modalities=TEXT,
        audio={"input": {"turn_detection": None, "transcription": {"model": "x"}}},
    )
    talker.say(silence(1.0))
    talker.send("input_audio_buffer.commit")
    talker.send("response.create")
    response = talker.answer()
    assert response["status"] == "failed"
    assert "nothing to hear" in response["status_details"]["error"]["message"]
    talker.until("conversation.item.input_audio_transcription.failed")
    talker.say(question("sum"))
    talker.send("input_audio_buffer.commit")
    talker.send("response.create")
    assert words(talker.answer()) == "seven plus five is twelve"


def test_two_conversations_at_once_stay_apart(live: Running) -> None:
    said: dict[str, list[str]] = {}

    def hold(name: str) -> None:
        with talking(live.url) as talker:
            talker.configure(output_modalities=TEXT)
            said[name] = [words(talker.ask(name)), words(talker.ask("memory"))]

    threads = [threading.Thread(target=hold, args=(name,)) for name in ("sum", "color")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert said == {
        "sum": ["seven plus five is twelve", "you said what is seven plus five"],
        "color": ["the sky is blue", "you said what color is the sky"],
    }


def test_what_is_said_while_the_model_answers_is_answered_in_its_turn(talker: Talker) -> None:
    """Two clicks of an impatient user are no reason to lose a question."""
    detection = {"type": "server_vad", "interrupt_response": False}
    talker.configure(output_modalities=TEXT, audio={"input": {"turn_detection": detection}})
    both = [question("sum"), silence(1.0), question("color"), silence(1.0)]
    talker.say(np.concatenate(both))
    assert words(talker.answer()) == "seven plus five is twelve"
    assert words(talker.answer()) == "the sky is blue"


def test_a_session_does_not_last_for_ever() -> None:
    options = ServerOptions(port=0, limits=Limits(session_s=2.0))
    with running(options) as server, talking(server.url) as talker:
        code, reason = close_of(talker)
        assert code == 1001 and "2 s" in reason
        assert talker.events[-1]["error"]["code"] == "session_expired"


def test_one_conversation_too_many_is_refused_with_a_sentence() -> None:
    options = ServerOptions(port=0, limits=Limits(conversations=1))
    with running(options) as server, talking(server.url):
        url = server.url.replace("http", "ws") + ADDRESS
        with connect(url) as socket:
            talker = Talker(socket)
            assert close_of(talker)[0] == 1013
            assert talker.events[0]["error"]["code"] == "too_many_conversations"


def test_who_connects_again_at_once_gets_the_place_that_becomes_free() -> None:
    """As a page does that is loaded anew in the middle of an answer."""
    options = ServerOptions(port=0, limits=Limits(conversations=1))
    with running(options) as server:
        for _ in range(10):
            with talking(server.url) as talker:
                talker.say(np.concatenate([question("sum"), silence(1.0)]))
                talker.until("response.output_audio.delta")


def test_a_client_that_reads_nothing_is_given_up(live: Running) -> None:
    """It asks for the same long sound again and again; the server keeps a bounded part of it."""
    url = live.url.replace("http", "ws") + ADDRESS
    with connect(url, max_queue=1) as socket:
        socket.send(
            written("session.update", session={"audio": {"input": {"turn_detection": None}}})
        )
        socket.send(written("input_audio_buffer.append", audio=base64_of(silence(200))))
        socket.send(written("input_audio_buffer.commit"))
        item = None
        while item is None:
            event = json.loads(socket.recv())
            item = event.get("item", {}).get("id")
        with pytest.raises(ConnectionClosed):
            for _ in range(100):
                socket.send(written("conversation.item.retrieve", item_id=item))
                time.sleep(0.01)
            while True:
                socket.recv()
    with talking(live.url) as talker:
        talker.configure(instructions="The others are served.")


def test_a_mistake_ends_one_session_and_the_log_holds_no_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = [True]

    def first_audio(kind: str, seconds: float) -> None:
        if broken:
            raise RuntimeError(f"{broken.pop()} words of a caller")

    def prepare(service: Service) -> None:
        service.metrics.first_audio = first_audio  # type: ignore[method-assign]

    with running(ServerOptions(port=0), prepare) as server:
        with talking(server.url) as talker:
            talker.say(np.concatenate([question("sum"), silence(1.0)]))
            assert close_of(talker)[0] == 1011
            assert talker.events[-1]["error"]["type"] == "server_error"
        assert "RuntimeError" in caplog.text and "words of a caller" not in caplog.text
        with talking(server.url) as talker:
            assert talker.ask("sum")["status"] == "completed"


def test_a_server_that_ends_does_not_wait_for_its_sessions() -> None:
    with running(ServerOptions(port=0)) as server:
        url = server.url.replace("http", "ws") + ADDRESS
        socket = connect(url, close_timeout=0.1)
        talker = Talker(socket)
        talker.say(np.concatenate([question("count"), silence(1.0)]))
        talker.until("response.output_audio.delta")
    # `running` asserts that the server's thread ended.
    assert close_of(talker)[0] in (1001, 1012)


def test_a_voice_of_the_library_speaks(live: Running) -> None:
    sample = (QUESTIONS / "voice-slt.flac").read_bytes()
    files = {"audio_sample": ("voice.flac", sample, "audio/flac")}
    data = {"name": "Her voice", "consent": "cons_1"}
    voice = live.client.post("/v1/audio/voices", files=files, data=data).json()["id"]
    with talking(live.url) as talker:
        for wanted in ("Her voice", {"id": voice}):
            shown = talker.configure(audio={"output": {"voice": wanted}})
            assert shown["audio"]["output"]["voice"] == voice
        shown = talker.configure(audio={"output": {"voice": "alloy"}})
        assert shown["audio"]["output"]["voice"] == "default"
        pitch = {}
        for wanted in ("alloy", "Her voice"):
            talker.configure(audio={"output": {"voice": wanted}})
            talker.events.clear()
            assert words(talker.ask("name")) == "my name is echo"
            pitch[wanted] = median_pitch(sound_of(talker.events) / np.float32(32768), RATE)
    assert pitch["Her voice"] > 140


def test_the_threads_of_a_session_end_with_it(live: Running) -> None:
    def threads() -> int:
        return sum(thread.name.startswith("mimo_edge realtime") for thread in threading.enumerate())

    with talking(live.url) as talker:
        talker.configure(audio={"input": {"transcription": {"model": "x"}}})
        talker.say(np.concatenate([question("count"), silence(1.0)]))
        talker.until("response.output_audio.delta")
        assert threads()
    for _ in range(200):
        if not threads():
            return
        time.sleep(0.05)
    raise AssertionError("a thread goes on")
