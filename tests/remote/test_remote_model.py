"""A server's model in a conversation: what is sent when, and what comes of it."""

from __future__ import annotations

import json
from http import HTTPStatus

import numpy as np
import pytest

from mimo_edge.dialogue.model_events import Ended, Failed, Sound, Text, Told, Transcribed, Truncated
from mimo_edge.errors import MimoEdgeError
from mimo_edge.remote.address import ServerAddress
from mimo_edge.remote.client_events import RemoteSettings
from mimo_edge.remote.opening import open_session

from .conversing import conversing, eventually
from .scripted_server import RATE, Script, scripted, tone

QUESTION = np.linspace(-0.5, 0.5, RATE, dtype=np.float32)
OTHER = -QUESTION


def test_a_question_is_sent_while_it_is_spoken_and_answered() -> None:
    with scripted(Script()) as server, conversing(server, key="secret") as mine:
        mine.model.hear(QUESTION[: RATE // 4])
        mine.model.hear(QUESTION[: RATE // 2])
        mine.model.prepare(QUESTION[: RATE // 2])
        mine.model.forget()  # the user went on
        mine.model.prepare(QUESTION)
        mine.model.answer(1, QUESTION)
        ended = mine.wait_for(Ended)
        talk = server.talk
    assert talk.headers["authorization"] == "Bearer secret"
    assert talk.kinds() == [
        "session.update",
        *["input_audio_buffer.append"] * 3,  # every sample once
        "input_audio_buffer.commit",
        "response.create",
    ]
    session = talk.events[0]["session"]
    assert session["audio"]["input"]["turn_detection"] is None
    assert session["output_modalities"] == ["audio"]
    np.testing.assert_allclose(talk.asked[0], QUESTION, atol=1e-4)
    assert mine.text(1) == "seven plus five is twelve"
    np.testing.assert_allclose(mine.sound(1), tone(1.0), atol=1e-4)
    assert (ended.turn, ended.reason) == (1, "stop")
    assert ended.stats.prompt_positions == 50 and ended.stats.cached_positions == 30
    assert ended.stats.audio_seconds == 1.0
    assert not mine.of(Told) and not mine.of(Failed)


def test_another_question_replaces_what_was_sent_of_the_first() -> None:
    with scripted(Script()) as server, conversing(server) as mine:
        mine.model.hear(QUESTION)
        mine.model.answer(1, OTHER)
        mine.wait_for(Ended)
        assert "input_audio_buffer.clear" in server.talk.kinds()
        np.testing.assert_allclose(server.talk.asked[0], OTHER, atol=1e-4)


def test_settings_are_the_servers() -> None:
    settings = RemoteSettings(
        instructions="Be brief.",
        voice="marin",
        speaks=False,
        transcriber="whisper-1",
        max_tokens=100,
    )
    with scripted(Script(seconds=0.2)) as server, conversing(server, settings) as mine:
        mine.model.answer(1, QUESTION)
        mine.wait_for(Ended)
        (update,) = server.talk.of("session.update")
    session = update["session"]
    assert session["instructions"] == "Be brief." and session["output_modalities"] == ["text"]
    assert session["audio"]["output"]["voice"] == "marin"
    assert session["audio"]["input"]["transcription"] == {"model": "whisper-1"}
    assert session["max_output_tokens"] == 100
    assert mine.of(Transcribed) == [Transcribed(turn=1, text="how much is seven plus five")]


def test_a_voice_that_the_server_does_not_have_is_told() -> None:
    with scripted() as server:
        server.session = {"audio": {"output": {"voice": "echo"}}}
        with conversing(server, RemoteSettings(voice="marin")) as mine:
            assert len(mine.of(Told)) == 1
    assert "no voice 'marin' and takes 'echo'" in mine.of(Told)[0].sentence


def test_an_interrupted_answer_is_cut_to_what_was_heard() -> None:
    with (
        scripted(Script(seconds=2.0, pause_after=5), Script()) as server,
        conversing(server) as mine,
    ):
        mine.model.answer(1, QUESTION)
        while len(mine.of(Sound)) < 5:
            mine.wait_for(Sound)
        mine.model.stop(1, round(0.5 * RATE))
        cut = mine.wait_for(Truncated)
        mine.model.answer(2, OTHER)
        mine.wait_for(Ended)
        talk = server.talk
    assert cut.text == "seven" and cut.ended is not None and cut.ended.reason == "cancelled"
    (truncation,) = talk.of("conversation.item.truncate")
    assert truncation["audio_end_ms"] == 500 and truncation["content_index"] == 0
    assert not talk.of("conversation.item.delete")
    kinds = talk.kinds("input_audio_buffer.append")
    # The second answer is asked for only when the first is over, and cut.
    after = kinds[kinds.index("response.cancel") :]
    assert after.index("conversation.item.truncate") < after.index("response.create")
    assert mine.text(2) == "seven plus five is twelve"


def test_an_answer_that_is_complete_is_cut_as_well() -> None:
    with scripted(Script()) as server, conversing(server) as mine:
        mine.model.answer(1, QUESTION)
        mine.wait_for(Ended)
        mine.model.stop(1, round(0.6 * RATE))
        cut = mine.wait_for(Truncated)
        eventually(lambda: server.talk.of("conversation.item.truncate"))
    assert cut.text == "seven plus five" and cut.ended is not None and cut.ended.reason == "stop"
    assert not server.talk.of("response.cancel")
    assert server.talk.of("conversation.item.truncate")[0]["audio_end_ms"] == 600


def test_of_an_answer_that_nobody_heard_the_question_goes_too() -> None:
    """It comes again with what the user says next, as one question."""
    with scripted(Script(pause_after=2), Script()) as server, conversing(server) as mine:
        mine.model.answer(1, QUESTION)
        mine.wait_for(Sound)
        mine.model.stop(1, 0)
        assert mine.wait_for(Truncated).text == ""
        mine.model.answer(2, np.concatenate([QUESTION, OTHER]))
        mine.wait_for(Ended)
        talk = server.talk
    deleted = [event["item_id"] for event in talk.of("conversation.item.delete")]
    assert deleted[0] == talk.questions[0] and len(deleted) == 2
    assert not talk.of("conversation.item.truncate")
    assert len(talk.asked[1]) == 2 * RATE


def test_an_answer_that_is_stopped_before_it_begins() -> None:
    """And another one right behind it, as with push to talk."""
    with scripted(Script(pause_after=0), Script()) as server, conversing(server) as mine:
        mine.model.answer(1, QUESTION)
        mine.model.stop(1, 0)
        mine.model.answer(2, OTHER)
        mine.wait_for(Ended)
        assert mine.text(2) == "seven plus five is twelve" and mine.text(1) == ""
        eventually(lambda: server.talk.of("conversation.item.delete"))


def test_a_text_answer_that_was_read_stays() -> None:
    settings = RemoteSettings(speaks=False)
    with scripted(Script(pause_after=3)) as server, conversing(server, settings) as mine:
        mine.model.answer(1, QUESTION)
        while len(mine.of(Text)) < 3:
            mine.wait_for(Text)
        mine.model.stop(1, 0)
        assert mine.wait_for(Truncated).text.startswith("seven")
        eventually(lambda: server.talk.of("response.cancel"))
    assert not server.talk.of("conversation.item.delete")


@pytest.mark.parametrize("tells_what", [True, False])
def test_a_question_that_is_refused_fails_and_the_next_is_answered(tells_what: bool) -> None:
    refusal = {"type": "server_error", "message": "the context is full"}
    if not tells_what:
        refusal["event_id"] = None  # type: ignore[assignment]
    with scripted(Script(refusal=refusal), Script()) as server, conversing(server) as mine:
        mine.model.answer(1, QUESTION)
        failed = mine.wait_for(Failed)
        mine.model.answer(2, OTHER)
        assert mine.wait_for(Ended).turn == 2
        deleted = server.talk.of("conversation.item.delete")
    assert (failed.turn, failed.sentence) == (1, "the server says: the context is full")
    assert [event["item_id"] for event in deleted] == server.talk.questions[:1]


def test_how_answers_end() -> None:
    too_long = {"type": "incomplete", "reason": "max_output_tokens"}
    filtered = {"type": "incomplete", "reason": "content_filter"}
    broken = {"type": "failed", "error": {"type": "server_error", "code": "boom"}}
    scripts = (
        Script(status="incomplete", details=too_long),
        Script(status="incomplete", details=filtered),
        Script(status="failed", details=broken),
    )
    with scripted(*scripts) as server, conversing(server) as mine:
        mine.model.answer(1, QUESTION)
        assert mine.wait_for(Ended).reason == "length"
        mine.model.answer(2, QUESTION)
        assert mine.wait_for(Ended).reason == "stop"
        assert "does not say the rest" in mine.wait_for(Told).sentence
        mine.model.answer(3, QUESTION)
        assert mine.wait_for(Failed).turn == 3


def test_what_cannot_be_understood_is_told_once_and_ends_nothing() -> None:
    sound = {"type": "response.output_audio.delta", "response_id": "r", "item_id": "i"}
    with scripted() as server, conversing(server) as mine:
        server.garbage = [
            "",
            "{",
            "[]",
            "null",
            '{"type": 5}',
            '{"type": "something.new", "x": 1}',
            '{"type": "response.done"}',
            '{"type": "response.created", "response": "no"}',
            json.dumps(sound),
            json.dumps({**sound, "delta": "%%%"}),
            json.dumps({"type": "error"}),
            "[" * 100_000,
        ]
        for turn in (1, 2):
            mine.model.answer(turn, QUESTION)
            assert mine.wait_for(Ended).turn == turn
            assert mine.text(turn) == "seven plus five is twelve"
    (told,) = mine.of(Told)
    assert "cannot be understood" in told.sentence


def test_a_server_that_is_something_else() -> None:
    """Its first message tells."""
    with scripted() as server:
        server.greeting = "hello"
        with pytest.raises(MimoEdgeError, match="does not speak OpenAI's Realtime API"):
            open_session(ServerAddress(url=server.url), RemoteSettings())


def test_a_lost_connection_comes_back_with_what_was_said() -> None:
    """The second answer breaks off in the middle, the third is given in the new session."""
    scripts = (Script(), Script(text="the sky is blue", lose_after=3), Script())
    with scripted(*scripts) as server, conversing(server) as mine:
        mine.model.answer(1, QUESTION)
        mine.wait_for(Ended)
        mine.model.answer(2, OTHER)
        broken = mine.wait_for(Ended)
        lost, back = mine.wait_for(Told), mine.wait_for(Told)
        mine.model.answer(3, QUESTION)
        mine.wait_for(Ended)
        talk = server.talk
    assert (broken.turn, broken.reason) == (2, "cancelled")
    assert "lost" in lost.sentence and "is back" in back.sentence
    items = [event["item"] for event in talk.of("conversation.item.create")]
    assert [item["role"] for item in items] == ["user", "assistant"] * 2
    said = [item["content"][0].get("text") for item in items]
    assert said[1] == "seven plus five is twelve" and said[3] == "the sky is"
    assert [item["content"][0]["type"] for item in items] == ["input_audio", "output_text"] * 2
    assert mine.text(3) == "seven plus five is twelve"


def test_a_question_that_was_not_answered_is_asked_again() -> None:
    with scripted(Script(lose_after=0), Script()) as server, conversing(server) as mine:
        mine.model.answer(1, QUESTION)
        assert mine.wait_for(Ended).reason == "stop"
        np.testing.assert_allclose(server.talk.asked[0], QUESTION, atol=1e-4)
    assert len(server.talks) == 2 and mine.text(1) == "seven plus five is twelve"


def test_an_answer_of_the_lost_session_can_still_be_interrupted() -> None:
    with scripted(Script(lose_after=4)) as server, conversing(server) as mine:
        mine.model.answer(1, QUESTION)
        mine.wait_for(Told), mine.wait_for(Told)  # lost, and back
        mine.model.stop(1, round(0.6 * RATE))
        assert mine.wait_for(Truncated).text == "seven"
        eventually(lambda: len(server.talk.of("conversation.item.create")) == 3)
        talk = server.talk
    (deleted,) = talk.of("conversation.item.delete")
    first, last = talk.of("conversation.item.create")[1::1]
    assert deleted["item_id"] == first["item"]["id"]
    assert last["item"]["content"] == [{"type": "output_text", "text": "seven"}]


def test_a_server_that_does_not_want_the_client_back_is_a_failure() -> None:
    with scripted(Script(lose_after=1)) as server:
        server.refuse = lambda number: (HTTPStatus.UNAUTHORIZED, "no") if number else None
        with conversing(server) as mine:
            mine.model.answer(1, QUESTION)
            eventually(lambda: mine.model.failure is not None)
            assert isinstance(mine.model.failure, MimoEdgeError)
            assert "wants a key" in str(mine.model.failure)
