"""Who speaks over an answer, on a simulated clock: held, ended, or one question with the last."""

from __future__ import annotations

import numpy as np
import pytest

from mimo_edge.dialogue.events import AnswerHeard, Notice, QuestionHeard
from mimo_edge.dialogue.model_events import Failed

from .two_sides import RATE, STEP, Output, Talk


def test_barge_in_stops_the_sound_at_once_and_cuts_the_answer(output: Output) -> None:
    talk = Talk(output)
    talk.run(1.0, voice=True)
    talk.run(2.5)
    assert talk.states[-1] == "speaking"
    began = talk.now
    talk.run(1.0, voice=True)
    silent = np.flatnonzero(np.abs(talk.sound())[::-1] > 0)[0] / RATE
    assert 1.0 - silent < 0.08  # of which 0.03 s are needed to suspect that it is a voice
    ((_, turn, heard),) = [call for call in talk.model.calls if call[0] == "stop"]
    assert turn == 1
    assert heard == pytest.approx(np.count_nonzero(talk.sound()), abs=RATE * 0.05)
    (answer,) = talk.of(AnswerHeard)
    assert answer.interrupted and answer.text == "two and"
    assert began - 100 < answer.end < began - 100 + 0.3
    talk.run(5.0)
    assert [event.turn for event in talk.of(QuestionHeard)] == [1, 2]
    assert not talk.of(AnswerHeard)[1].interrupted


def test_what_sounded_while_the_answer_was_held_counts_as_heard() -> None:
    """The device's buffer runs out in the time that it takes to be sure."""
    talk = Talk(latency=0.06)
    talk.run(1.0, voice=True)
    talk.run(2.5)
    talk.run(1.0, voice=True)
    ((_, _, heard),) = [call for call in talk.model.calls if call[0] == "stop"]
    assert heard == pytest.approx(np.count_nonzero(talk.sound()), abs=RATE * 0.01)


def test_an_answer_that_is_cut_within_its_first_word_ends_too(output: Output) -> None:
    """Who listens to the events hears of it, and the question counts."""
    talk = Talk(output, first_word=0.4)
    talk.run(1.0, voice=True)
    while talk.states[-1] != "speaking":
        talk.run(STEP)
    talk.run(1.0, voice=True)
    talk.run(6.0)
    cut, answer = talk.of(AnswerHeard)
    assert cut.interrupted and cut.text == ""
    assert (cut.turn, answer.turn) == (1, 2)
    first, second = [call for call in talk.model.calls if call[0] == "answer"]
    assert second[2] < first[2] + 0.5 * RATE  # it is asked alone


def test_an_answer_that_is_cut_before_it_reached_the_ear_leaves_its_question_open() -> None:
    talk = Talk(latency=0.4)
    talk.run(1.0, voice=True)
    while talk.states[-1] != "speaking":
        talk.run(STEP)
    talk.run(1.0, voice=True)
    talk.run(6.0)
    (answer,) = talk.of(AnswerHeard)
    assert answer.turn == 2
    first, second = [call for call in talk.model.calls if call[0] == "answer"]
    assert second[2] > first[2] + 1.0 * RATE  # both parts are one question


def test_what_a_client_reported_until_then_counts_as_heard() -> None:
    """All of the sound was sent long before. Reports come late, but while the answer is held
    nothing more is played and they catch up."""
    talk = Talk("socket", lag=5)
    talk.run(1.0, voice=True)
    talk.run(2.5)
    assert talk.states[-1] == "speaking"
    talk.run(0.4, voice=True)
    ((_, turn, heard),) = [call for call in talk.model.calls if call[0] == "stop"]
    assert turn == 1
    assert heard == np.count_nonzero(talk.sound()) < 2 * RATE


def test_a_cough_holds_the_answer_and_nothing_of_it_is_lost(output: Output) -> None:
    talk = Talk(output)
    talk.run(1.0, voice=True)
    talk.run(2.5)
    talk.run(0.12, voice=True)
    talk.run(6.0)
    (answer,) = talk.of(AnswerHeard)
    assert not answer.interrupted and answer.text == "two and two is four"
    sound = talk.sound()
    loud = np.flatnonzero(np.abs(sound) > 0)
    gaps = np.diff(loud)[np.diff(loud) > 1] / RATE
    assert len(gaps) == 1 and 0.1 < gaps[0] < 0.4
    assert len(loud) == pytest.approx(talk.model.seconds * RATE, abs=20)  # faded ends are 0
    assert len(talk.of(QuestionHeard)) == 1


def test_with_barge_in_off_nobody_interrupts(output: Output) -> None:
    talk = Talk(output, barge_in="off")
    talk.run(1.0, voice=True)
    talk.run(2.0)
    talk.run(0.8, voice=True)
    talk.run(4.0)
    assert len(talk.of(QuestionHeard)) == 1
    assert not talk.of(AnswerHeard)[0].interrupted


def test_who_goes_on_before_the_answer_is_heard_asks_one_question(output: Output) -> None:
    talk = Talk(output, delay=1.0)
    talk.run(1.0, voice=True)
    talk.run(0.9)  # the turn is over, the model is thinking
    assert talk.states[-1] == "thinking"
    talk.run(1.0, voice=True)
    talk.run(8.0)
    first, last = (call for call in talk.model.calls if call[0] == "answer")
    assert last[2] > first[2] + 0.9 * RATE
    assert [event.turn for event in talk.of(AnswerHeard)] == [2]


def test_ctrl_c_ends_the_turn(output: Output) -> None:
    talk = Talk(output)
    assert not talk.conversation.interrupt(talk.now)
    talk.run(1.0, voice=True)
    assert talk.conversation.interrupt(talk.now)
    talk.run(2.0)
    assert not talk.of(QuestionHeard)
    talk.run(1.0, voice=True)
    talk.run(2.0)
    assert talk.states[-1] == "speaking"
    assert talk.conversation.interrupt(talk.now)
    talk.run(2.0)
    assert talk.of(AnswerHeard)[0].interrupted
    assert talk.states[-1] == "listening"


def test_a_question_that_failed_is_not_asked_again_with_the_next(output: Output) -> None:
    """Though the user had gone on before it failed: both parts were one question."""
    talk = Talk(output, delay=1.0, fails=True)
    talk.run(1.0, voice=True)
    talk.run(0.9)
    assert talk.states[-1] == "thinking"
    talk.run(1.0, voice=True)
    talk.run(2.5)
    assert talk.states[-1] == "listening"
    talk.model.fails = False
    talk.run(1.0, voice=True)
    talk.run(8.0)
    lengths = [call[2] for call in talk.model.calls if call[0] == "answer"]
    assert lengths[1] > lengths[0] + 0.9 * RATE  # both parts
    assert lengths[2] < lengths[0] + 0.5 * RATE  # the third by itself
    assert talk.of(Notice) == [Notice(text="it does not fit.")]
    assert talk.of(AnswerHeard)[0].turn == 3


def test_a_question_that_fails_while_the_user_goes_on_is_told_and_dropped(output: Output) -> None:
    talk = Talk(output, delay=30.0, fails=True)
    talk.run(1.0, voice=True)
    while talk.states[-1] != "thinking":
        talk.run(STEP)
    while not [call for call in talk.model.calls if call[0] == "stop"]:
        talk.run(STEP, voice=True)
    talk.conversation.model_event(Failed(turn=1, sentence="it does not fit."), talk.now)
    talk.run(1.5, voice=True)
    assert talk.of(Notice) == [Notice(text="it does not fit.")]
    assert talk.states[-1] == "hearing"
    talk.model.delay = 0.2
    talk.model.fails = False
    talk.run(8.0)
    first, second = [call[2] for call in talk.model.calls if call[0] == "answer"]
    assert second < first + 1.2 * RATE  # not both
    assert talk.of(AnswerHeard)[0].turn == 2
