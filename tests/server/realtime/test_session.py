"""Turns of the user and answers to them, with scripted voice and model."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from mimo_edge.server.realtime.contents import InputAudio
from mimo_edge.server.realtime.model_port import Failed
from mimo_edge.server.requests.api_errors import ApiError

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
