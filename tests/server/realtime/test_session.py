"""The rules of a session, with scripted voice and model."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from mimo_edge.server.api_errors import ApiError
from mimo_edge.server.realtime.contents import InputAudio, InputText
from mimo_edge.server.realtime.model_port import Failed, Transcribed, TranscriptFailed

from .scripted import QUIET, RATE, VOICE, Sides, seconds_of

TEXT = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello."}]}


def pcm(seconds: float) -> str:
    return base64.b64encode(np.zeros(round(seconds * RATE), dtype="<i2").tobytes()).decode()


@pytest.fixture
def sides() -> Sides:
    return Sides()


def test_a_turn_is_told_committed_and_answered(sides: Sides) -> None:
    sides.say((QUIET, 1.0))
    sides.turn(1.0)
    assert sides.kinds == [
        "session.created",
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]
    started, stopped = sides.events[1:3]
    assert 600 < started["audio_start_ms"] < 800  # the padding of 300 ms is part of the turn
    assert 2000 < stopped["audio_end_ms"] < 2250
    assert len({event["item_id"] for event in sides.events[1:4]}) == 1


def test_an_answer_has_all_events_in_their_order(sides: Sides) -> None:
    sides.turn()
    sides.events.clear()
    sides.text("Two.")
    sides.sound(0.5)
    sides.answered()
    assert sides.kinds == [
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
        *["response.output_audio.delta"] * 3,
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ]
    response = sides.last("response.done")["response"]
    assert response["status"] == "completed" and response["status_details"] is None
    assert response["output"][0]["content"] == [{"type": "output_audio", "transcript": "Two."}]
    assert response["usage"] == {
        "total_tokens": 15,
        "input_tokens": 10,
        "output_tokens": 5,
        "input_token_details": {"text_tokens": 7, "audio_tokens": 3, "cached_tokens": 4},
        "output_token_details": {"text_tokens": 2, "audio_tokens": 3},
    }


def test_the_answer_is_prepared_at_a_pause_and_the_same_sound_is_answered(sides: Sides) -> None:
    sides.say((VOICE, 1.0), (QUIET, 0.3), (VOICE, 1.0))
    assert len(sides.model.prepared) == 1 and sides.model.forgotten == 1
    sides.say((QUIET, 0.7))
    assert len(sides.model.prepared) == 2
    prepared, answered = sides.model.prepared[-1].said[-1], sides.model.answers[-1][1].said[-1]
    assert isinstance(prepared, InputAudio) and isinstance(answered, InputAudio)
    assert prepared.utterance is answered.utterance


def test_a_long_turn_is_heard_while_it_is_spoken(sides: Sides) -> None:
    sides.say((VOICE, 3.0))
    lengths = [len(samples) for samples in sides.model.heard]
    assert len(lengths) >= 4 and lengths == sorted(lengths)


def test_speech_cancels_the_answer_at_once(sides: Sides) -> None:
    sides.turn()
    first = sides.response
    sides.sound(3.0)
    sides.say((VOICE, 0.3))
    assert sides.model.stopped == [first]
    done = sides.last("response.done")["response"]
    assert (done["status"], done["status_details"]["reason"]) == ("cancelled", "turn_detected")
    sent = sides.sent_s
    sides.sound(1.0, first)
    sides.answered("cancelled", first)
    sides.wait(2.0)
    assert sides.sent_s == sent


def test_without_interruption_the_answer_goes_on_and_the_turn_is_answered_behind_it(
    sides: Sides,
) -> None:
    sides.detect(interrupt_response=False)
    sides.turn()
    sides.sound(1.5)
    sides.answered()
    sides.turn()
    sides.wait(2.0)
    assert sides.model.stopped == [] and sides.sent_s == 1.5
    assert len(sides.model.answers) == 2


def test_an_answer_stands_behind_what_it_answers(sides: Sides) -> None:
    sides.detect(interrupt_response=False)
    sides.turn()
    sides.turn()
    sides.text("To the first.")
    sides.answered()
    items = [event["item"] for event in sides.all("conversation.item.added")]
    before = [event["previous_item_id"] for event in sides.all("conversation.item.added")]
    assert [item["role"] for item in items] == ["user", "user", "assistant"]
    assert before == [None, items[0]["id"], items[0]["id"]]
    kinds = [type(said).__name__ for said in sides.model.answers[-1][1].said]
    assert kinds == ["InputAudio", "OutputAudio", "InputAudio"]


def test_a_client_that_answers_by_itself_is_told_of_turns_only(sides: Sides) -> None:
    sides.detect(create_response=False, interrupt_response=False)
    sides.turn()
    assert sides.kinds[-1] == "conversation.item.done" and not sides.model.answers
    sides.send("response.create")
    sides.sound(2.0)
    sides.turn()
    assert not sides.model.stopped
    assert sides.refused("response.create").code == "conversation_already_has_active_response"


def test_sound_is_sent_one_second_ahead_of_what_is_played(sides: Sides) -> None:
    sides.turn()
    sides.sound(5.0)
    sides.answered()
    assert sides.sent_s == pytest.approx(1.0)
    sides.wait(1.0)
    assert sides.sent_s == pytest.approx(2.0, abs=0.21)
    assert "response.done" not in sides.kinds
    sides.wait(3.5)
    assert sides.sent_s == pytest.approx(5.0)
    assert sides.kinds[-1] == "response.done"


def test_a_machine_that_is_too_slow_begins_later_and_has_no_gap(sides: Sides) -> None:
    """From its second answer on: of the first nobody knows how long it takes."""
    gaps = []
    for _ in range(2):
        sides.turn()
        sides.sound_came.clear()
        for _ in range(25):  # 5 s of sound in 7.5 s
            sides.wait(0.3)
            sides.sound(0.2)
        sides.answered()
        sides.wait(10.0)
        assert sum(seconds for _, seconds in sides.sound_came) == pytest.approx(5.0)
        assert sides.kinds[-1] == "response.done"
        gaps.append(sides.gaps_s())
    first, second = gaps
    assert first > 1.0 and second == pytest.approx(0.0, abs=0.01)


def test_a_machine_that_is_fast_enough_begins_at_once(sides: Sides) -> None:
    for _ in range(3):
        sides.turn()
        began = sides.now
        sides.sound_came.clear()
        for _ in range(20):
            sides.wait(0.15)
            sides.sound(0.2)
        sides.answered()
        sides.wait(5.0)
        assert sides.sound_came[0][0] == pytest.approx(began + 0.15)
        assert sides.gaps_s() == pytest.approx(0.0, abs=0.01)


def test_what_was_not_played_when_the_user_spoke_was_not_heard(sides: Sides) -> None:
    sides.turn()
    sides.sound(5.0)
    item = sides.last("conversation.item.added")["item"]["id"]
    sides.wait(1.0)
    sides.say((VOICE, 0.3))
    part = sides.retrieve(item)["content"][0]
    assert seconds_of(part) == pytest.approx(1.2, abs=0.11)
    assert part["transcript"] is None
    heard = sides.model.spoken[sides.response].heard
    assert heard == pytest.approx(1.2 * RATE, abs=0.11 * RATE)


def test_the_end_of_an_answer_may_be_unheard_too(sides: Sides) -> None:
    """All of it was sent, its response is done, and the user speaks before it was played."""
    sides.turn()
    sides.sound(0.9)
    sides.answered()
    assert sides.kinds[-1] == "response.done"
    sides.say((VOICE, 0.3))
    assert sides.model.spoken[sides.response].heard == pytest.approx(0.2 * RATE, abs=0.06 * RATE)


def test_an_answer_that_was_played_to_its_end_stays(sides: Sides) -> None:
    sides.turn()
    sides.sound(0.5)
    sides.answered()
    sides.wait(1.0)
    sides.turn()
    assert next(iter(sides.model.spoken.values())).heard is None


@pytest.mark.parametrize("reported", [0, 300, 900])
def test_a_client_knows_better_what_was_heard(sides: Sides, reported: int) -> None:
    sides.turn()
    sides.text("One two three.")
    sides.sound(5.0)
    item = sides.last("conversation.item.added")["item"]["id"]
    sides.wait(0.5)
    sides.say((VOICE, 0.3))
    sides.send("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=reported)
    assert sides.last("conversation.item.truncated")["audio_end_ms"] == reported
    answer = next(iter(sides.model.spoken.values()))
    assert answer.heard == reported * RATE // 1000


def test_a_small_overshoot_is_clamped_and_a_large_one_refused(sides: Sides) -> None:
    sides.turn()
    sides.sound(0.5)
    sides.answered()
    item = sides.last("conversation.item.added")["item"]["id"]
    truncation = {"item_id": item, "content_index": 0}
    sides.send("conversation.item.truncate", audio_end_ms=1400.7, **truncation)
    assert sides.last("conversation.item.truncated")["audio_end_ms"] == 500
    error = sides.refused("conversation.item.truncate", audio_end_ms=5000, **truncation)
    assert error.param == "audio_end_ms" and "500 ms" in error.message
    sides.turn()
    assert len(sides.model.answers) == 2


def test_only_what_the_model_said_can_be_truncated(sides: Sides) -> None:
    sides.send("conversation.item.create", item={**TEXT, "id": "mine"})
    for item in ("mine", "nobody's"):
        error = sides.refused("conversation.item.truncate", item_id=item, audio_end_ms=0)
        assert error.status == 400 and item in error.message
    error = sides.refused("conversation.item.truncate", item_id="mine", audio_end_ms=-1)
    assert error.param == "audio_end_ms"


def test_cancel(sides: Sides) -> None:
    assert sides.refused("response.cancel").code == "response_cancel_not_active"
    sides.turn()
    error = sides.refused("response.cancel", response_id="resp_other")
    assert error.code == "response_cancel_not_active" and "resp_other" in error.message
    sides.send("response.cancel", response_id=sides.response)
    done = sides.last("response.done")["response"]
    assert (done["status"], done["status_details"]["reason"]) == ("cancelled", "client_cancelled")
    assert done["output"] == []
    assert sides.refused("response.cancel").code == "response_cancel_not_active"


def test_an_answer_that_cannot_be_made_fails_and_the_session_goes_on(sides: Sides) -> None:
    sides.turn()
    told = Failed(response=sides.response, error=ApiError(400, "nothing to hear", code="x"))
    sides.session.model_event(told, sides.now)
    done = sides.last("response.done")["response"]
    assert done["status"] == "failed"
    assert done["status_details"]["error"]["message"] == "nothing to hear"
    sides.turn()
    assert len(sides.model.answers) == 2


@pytest.mark.parametrize("reason", ["length", "context"])
def test_an_answer_that_is_cut_is_incomplete(sides: Sides, reason: str) -> None:
    sides.turn()
    sides.text("One")
    sides.answered(reason)  # type: ignore[arg-type]
    done = sides.last("response.done")["response"]
    assert done["status"] == "incomplete"
    assert done["status_details"]["reason"] == "max_output_tokens"
    assert done["output"][0]["status"] == "incomplete"


def test_turns_by_hand(sides: Sides) -> None:
    sides.configure(audio={"input": {"turn_detection": None}})
    sides.say((VOICE, 1.0), (QUIET, 2.0))
    assert sides.kinds[-1] == "session.updated"
    sides.send("input_audio_buffer.commit")
    assert sides.kinds[-3:] == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    item = sides.last("input_audio_buffer.committed")["item_id"]
    assert seconds_of(sides.retrieve(item)["content"][0]) == pytest.approx(3.0)
    assert not sides.model.answers
    error = sides.refused("input_audio_buffer.commit")
    assert error.code == "input_audio_buffer_commit_empty"


def test_clear_forgets_the_turn_in_progress(sides: Sides) -> None:
    sides.say((VOICE, 1.0))
    sides.send("input_audio_buffer.clear")
    assert sides.kinds[-1] == "input_audio_buffer.cleared"
    sides.say((QUIET, 2.0))
    assert not sides.model.answers
    sides.turn()
    assert len(sides.model.answers) == 1


def test_a_commit_ends_a_turn_that_the_voice_began(sides: Sides) -> None:
    sides.say((VOICE, 1.0))
    started = sides.last("input_audio_buffer.speech_started")["item_id"]
    sides.send("input_audio_buffer.commit")
    assert sides.last("input_audio_buffer.committed")["item_id"] == started
    sides.say((QUIET, 2.0))
    assert "input_audio_buffer.speech_stopped" not in sides.kinds


def test_other_settings_do_not_disturb_a_turn(sides: Sides) -> None:
    sides.say((VOICE, 1.0))
    sides.configure(instructions="Be brief.")
    sides.detect(silence_duration_ms=300)
    sides.say((QUIET, 0.4))
    assert sides.model.answers[-1][1].system == "Be brief."
    assert len(sides.all("input_audio_buffer.speech_started")) == 1


@pytest.mark.parametrize(("eagerness", "seconds"), [("high", 0.4), ("auto", 0.7), ("low", 1.4)])
def test_an_eager_model_waits_less(sides: Sides, eagerness: str, seconds: float) -> None:
    turns = {"type": "semantic_vad", "eagerness": eagerness}
    sides.configure(audio={"input": {"turn_detection": turns}})
    sides.say((VOICE, 1.0), (QUIET, seconds - 0.1))
    assert not sides.model.answers
    sides.say((QUIET, 0.2))
    assert sides.model.answers


def test_silence_is_answered_after_a_while_if_asked_for(sides: Sides) -> None:
    sides.detect(idle_timeout_ms=5000)
    sides.say((QUIET, 8.0))
    assert "input_audio_buffer.timeout_triggered" not in sides.kinds  # the model said nothing yet
    sides.turn()
    sides.sound(2.0)
    sides.answered()
    sides.say((QUIET, 6.5))
    assert "input_audio_buffer.timeout_triggered" not in sides.kinds  # 2 s were played first
    sides.say((QUIET, 1.0))
    triggered = sides.last("input_audio_buffer.timeout_triggered")
    assert triggered["audio_end_ms"] - triggered["audio_start_ms"] == pytest.approx(5000, abs=100)
    assert sides.last("input_audio_buffer.committed")["item_id"] == triggered["item_id"]
    assert len(sides.model.answers) == 2


def test_items_are_put_where_they_are_wanted(sides: Sides) -> None:
    for name, after in (("b", None), ("d", None), ("a", "root"), ("c", "b")):
        sides.send("conversation.item.create", item={**TEXT, "id": name}, previous_item_id=after)
    before = {
        event["item"]["id"]: event["previous_item_id"]
        for event in sides.all("conversation.item.added")
    }
    assert before == {"b": None, "d": "b", "a": None, "c": "b"}
    assert sides.refused("conversation.item.create", item={**TEXT, "id": "a"}).param == "item.id"
    missing = sides.refused("conversation.item.create", item=TEXT, previous_item_id="z")
    assert missing.code == "item_not_found"
    sides.send("conversation.item.delete", item_id="a")
    assert sides.last("conversation.item.deleted")["item_id"] == "a"
    assert sides.refused("conversation.item.delete", item_id="a").code == "item_not_found"
    assert sides.refused("conversation.item.retrieve", item_id="a").code == "item_not_found"


def test_an_answer_is_made_of_the_items(sides: Sides) -> None:
    system = {"type": "message", "role": "system"}
    content = [{"type": "input_text", "text": "Speak of cats."}]
    sides.configure(instructions="Be brief.")
    sides.send("conversation.item.create", item={**system, "content": content})
    sides.send("conversation.item.create", item=TEXT)
    sides.send("response.create")
    plan = sides.model.answers[-1][1]
    assert plan.system == "Be brief.\nSpeak of cats."
    (said,) = plan.said
    assert isinstance(said, InputText) and said.text == "Hello."
    assert plan.reply == "speech" and plan.overrides.max_new_tokens == 4096


def test_one_answer_may_be_asked_for_otherwise(sides: Sides) -> None:
    asked = {
        "output_modalities": ["text"],
        "instructions": "Say one word.",
        "max_output_tokens": 20,
        "metadata": {"for": "a test"},
    }
    sides.send("response.create", response=asked)
    plan = sides.model.answers[-1][1]
    assert (plan.reply, plan.system, plan.overrides.max_new_tokens) == ("text", "Say one word.", 20)
    sides.text("Yes.")
    sides.answered()
    response = sides.last("response.done")["response"]
    assert response["metadata"] == {"for": "a test"}
    assert response["output"][0]["content"] == [{"type": "output_text", "text": "Yes."}]
    sides.send("response.create")
    assert sides.model.answers[-1][1].reply == "speech"


def test_an_answer_beside_the_conversation(sides: Sides) -> None:
    sides.send("conversation.item.create", item={**TEXT, "id": "hello"})
    sides.turn()
    active = sides.response
    given = {
        "conversation": "none",
        "output_modalities": ["text"],
        "input": [{"type": "item_reference", "id": "hello"}, TEXT],
    }
    sides.send("response.create", response=given)
    aside = sides.response
    assert sides.model.aside == [aside] and len(sides.model.answers[-1][1].said) == 2
    sides.text("An aside.")
    sides.answered(response=aside)
    done = sides.last("response.done")["response"]
    assert done["id"] == aside and done["conversation_id"] is None
    assert len(sides.all("conversation.item.added")) == 2  # hello, and what was said
    sides.sound(0.2, active)
    sides.answered(response=active)
    assert sides.last("response.done")["response"]["id"] == active


def test_at_most_a_few_answers_beside_the_conversation(sides: Sides) -> None:
    for _ in range(4):
        sides.send("response.create", response={"conversation": "none"})
    error = sides.refused("response.create", response={"conversation": "none"})
    assert error.code == "too_many_responses"
    sides.send("response.cancel", response_id=sides.response)
    sides.send("response.create", response={"conversation": "none"})


def test_the_users_words_do_not_delay_the_answer(sides: Sides) -> None:
    sides.configure(audio={"input": {"transcription": {"model": "whisper-1"}}})
    sides.turn()
    assert not sides.model.transcribed
    sides.sound(0.2)
    item = sides.last("input_audio_buffer.committed")["item_id"]
    assert sides.model.transcribed == [item]
    sides.session.model_event(Transcribed(item=item, text="hello", seconds=1.5), sides.now)
    completed = sides.last("conversation.item.input_audio_transcription.completed")
    assert completed["transcript"] == "hello"
    assert completed["usage"] == {"type": "duration", "seconds": 1.5}
    assert sides.retrieve(item)["content"][0]["transcript"] == "hello"


def test_a_client_that_waits_for_the_words_gets_them_at_once(sides: Sides) -> None:
    """Open WebUI asks for the answer when it knows what was said."""
    sides.detect(create_response=False)
    sides.configure(audio={"input": {"transcription": {"model": "whisper-1"}}})
    sides.say((VOICE, 1.0), (QUIET, 0.6))
    assert len(sides.model.transcribed) == 1


def test_turning_the_detection_off_drops_the_turn_in_progress(sides: Sides) -> None:
    sides.say((VOICE, 1.0))
    sides.configure(audio={"input": {"turn_detection": None}})
    sides.say((QUIET, 1.0))
    assert "input_audio_buffer.committed" not in sides.kinds
    sides.configure(audio={"input": {"turn_detection": {"type": "server_vad"}}})
    sides.turn()
    assert len(sides.model.answers) == 1
    assert sides.last("input_audio_buffer.speech_started")["audio_start_ms"] >= 2000


def test_the_users_words_come_without_an_answer_too(sides: Sides) -> None:
    transcription = {"model": "whisper-1"}
    sides.configure(audio={"input": {"turn_detection": None, "transcription": transcription}})
    sides.say((VOICE, 1.0))
    sides.send("input_audio_buffer.commit")
    assert not sides.model.transcribed  # an answer may be asked for just now
    sides.wait(1.0)
    (item,) = sides.model.transcribed
    told = TranscriptFailed(item=item, error=ApiError(400, "nothing to hear"))
    sides.session.model_event(told, sides.now)
    failed = sides.last("conversation.item.input_audio_transcription.failed")
    assert failed["error"]["message"] == "nothing to hear"


def test_turns_that_wait_to_be_written_down_are_bounded(sides: Sides) -> None:
    """A client that commits every tenth of a second is faster than any model."""
    transcription = {"model": "whisper-1"}
    sides.configure(audio={"input": {"turn_detection": None, "transcription": transcription}})

    def commit(count: int) -> None:
        for _ in range(count):
            sides.say((VOICE, 0.1))
            sides.send("input_audio_buffer.commit")
        sides.wait(1.0)

    commit(100)
    failed = "conversation.item.input_audio_transcription.failed"
    assert sides.last(failed)["error"]["code"] == "too_many_transcripts"
    first = [*sides.model.transcribed]
    assert 32 <= len(first) < 100
    assert sides.kinds.count(failed) == 100 - len(first)
    for item in first:
        sides.session.model_event(Transcribed(item=item, text="Hello.", seconds=0.1), sides.now)
    commit(1)
    assert len(sides.model.transcribed) == len(first) + 1


@pytest.mark.parametrize("size", [1, 7, 480, 24_000])
def test_pieces_may_have_any_size(size: int) -> None:
    sides = Sides()
    sides.configure(audio={"input": {"turn_detection": None}})
    sound = np.arange(-3000, 3000, dtype="<i2")
    data = sound.tobytes()
    for start in range(0, len(data), size):
        piece = base64.b64encode(data[start : start + size]).decode()
        sides.send("input_audio_buffer.append", audio=piece)
    sides.send("input_audio_buffer.commit")
    item = sides.last("input_audio_buffer.committed")["item_id"]
    back = np.frombuffer(base64.b64decode(sides.retrieve(item)["content"][0]["audio"]), "<i2")
    np.testing.assert_array_equal(back, sound)


@pytest.mark.parametrize("wrong", ["not base64!", "A", "äöü"])
def test_what_is_not_base64_is_refused(sides: Sides, wrong: str) -> None:
    assert sides.refused("input_audio_buffer.append", audio=wrong).code == "invalid_base64"
    sides.turn()
    assert sides.model.answers


def test_sound_that_is_never_committed_is_refused_in_the_end(sides: Sides) -> None:
    sides.configure(audio={"input": {"turn_detection": None}})
    for _ in range(7):
        sides.send("input_audio_buffer.append", audio=pcm(100))
    error = sides.refused("input_audio_buffer.append", audio=pcm(1))
    assert error.code == "input_audio_buffer_full"
    sides.send("input_audio_buffer.clear")
    sides.send("input_audio_buffer.append", audio=pcm(1))
