"""What a client asks of a session: commits, items, answers, words. Voice and model are scripted."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from mimo_edge.server.realtime.contents import InputText
from mimo_edge.server.realtime.model_port import Transcribed, TranscriptFailed
from mimo_edge.server.requests.api_errors import ApiError

from .scripted import QUIET, RATE, VOICE, Sides, seconds_of

TEXT = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello."}]}


def pcm(seconds: float) -> str:
    return base64.b64encode(np.zeros(round(seconds * RATE), dtype="<i2").tobytes()).decode()


@pytest.fixture
def sides() -> Sides:
    return Sides()


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


def test_an_answer_to_nothing_stands_before_what_is_said_meanwhile(sides: Sides) -> None:
    sides.send("response.create")
    sides.send("conversation.item.create", item=TEXT)
    sides.text("What can I do for you?")
    sides.answered()
    sides.send("response.create")
    said = sides.model.answers[-1][1].said
    assert [type(each).__name__ for each in said] == ["OutputAudio", "InputText"]


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


def test_an_answer_is_made_of_no_more_than_a_conversation_holds() -> None:
    sides = Sides(longest_item=100_000)
    long = {**TEXT, "content": [{"type": "input_text", "text": "x" * 100_000}]}
    sides.send("response.create", response={"input": [long] * 20})
    sides.answered()
    error = sides.refused("response.create", response={"input": [long] * 21})
    assert error.param == "response.input"
    assert "2100000 characters together" in error.message
    sound = [{"type": "input_audio", "audio": pcm(20.0)}]
    sides.send("conversation.item.create", item={**TEXT, "id": "sound", "content": sound})
    again = {"type": "item_reference", "id": "sound"}
    error = sides.refused("response.create", response={"input": [again] * 181})
    assert "3620 seconds of sound together" in error.message
    assert len(sides.model.answers) == 1


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


def test_each_turn_is_written_down_in_the_language_that_it_was_said_in(sides: Sides) -> None:
    for language in ("zh", None):
        transcription = {"model": "whisper-1", "language": language}
        sides.configure(audio={"input": {"turn_detection": None, "transcription": transcription}})
        sides.say((VOICE, 1.0))
        sides.send("input_audio_buffer.commit")
    sides.wait(1.0)
    assert sides.model.languages == ["zh", None]


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
