"""The live conversation on a simulated clock: turns, reports, what goes wrong."""

from __future__ import annotations

import numpy as np
import pytest

from mimo_edge.dialogue.events import (
    AnswerHeard,
    AnswerText,
    Level,
    Notice,
    QuestionHeard,
    TurnReport,
)
from mimo_edge.dialogue.playback import PlaybackSettings

from .remote_client import RemoteOutput
from .two_sides import RATE, STEP, Output, Talk


def test_a_question_is_answered(output: Output) -> None:
    talk = Talk(output)
    talk.run(1.0)
    talk.run(1.2, voice=True)
    talk.run(6.0)
    assert talk.states == ["listening", "hearing", "thinking", "speaking", "listening"]
    (question,), (answer,) = talk.of(QuestionHeard), talk.of(AnswerHeard)
    assert question.start == pytest.approx(0.7, abs=0.06)  # with its pre-roll
    assert question.end == pytest.approx(2.35, abs=0.06)  # with its rest of silence
    assert answer.text == "two and two is four" and not answer.interrupted
    assert answer.end - answer.start == pytest.approx(3.2, abs=0.06)
    assert "".join(event.text for event in talk.of(AnswerText)) == "two and two is four"
    assert np.abs(talk.sound()).sum() == pytest.approx(0.3 * 3.2 * RATE, rel=0.01)


def test_what_a_turn_took_is_reported(output: Output) -> None:
    talk = Talk(output)
    talk.run(1.0, voice=True)
    talk.run(6.0)
    (report,) = talk.of(TurnReport)
    # 0.55 s of silence beyond the rest decide that the turn is over, then the model's delay.
    assert report.first_sound_seconds is not None and 0.7 < report.first_sound_seconds < 1.2
    assert report.real_time_factor == pytest.approx(1.0 / 1.92)
    assert report.patches_per_second == pytest.approx(12)
    assert (report.evaluated_positions, report.cached_positions) == (10, 30)
    assert report.prepared_positions == 8 and report.underruns == 0


def test_two_turns(output: Output) -> None:
    talk = Talk(output, barge_in="off")
    for _ in range(2):
        talk.run(1.0, voice=True)
        talk.run(6.0)
    assert [event.turn for event in talk.of(QuestionHeard)] == [1, 2]
    assert [event.turn for event in talk.of(AnswerHeard)] == [1, 2]


def test_what_was_prepared_at_the_pause_is_thrown_away_if_speech_goes_on(
    output: Output,
) -> None:
    talk = Talk(output)
    talk.run(1.0, voice=True)
    talk.run(0.4)
    talk.run(1.0, voice=True)
    talk.run(1.0)
    kinds = [call[0] for call in talk.model.calls]
    assert kinds == ["prepare", "forget", "prepare", "answer"]
    assert talk.model.calls[-1][2] == talk.model.calls[-2][1]  # exactly what was prepared


def test_the_question_is_heard_while_it_is_spoken() -> None:
    """Only what will be in it, whatever comes."""
    talk = Talk()
    talk.run(3.0, voice=True)
    talk.run(1.0)
    (asked,) = talk.model.asked
    assert len(talk.model.heard) >= 5
    for samples in talk.model.heard:
        np.testing.assert_array_equal(asked[: len(samples)], samples)
    assert len(talk.model.heard[4]) > 1.8 * RATE


def test_a_client_gets_the_sound_as_fast_as_it_is_made() -> None:
    talk = Talk("socket")
    talk.run(1.0, voice=True)
    while not talk.of(AnswerText)[1:]:  # the last word, all of the sound was made before it
        talk.run(STEP)
    assert talk.states[-1] == "speaking"
    assert isinstance(talk.port, RemoteOutput) and talk.port.sent == round(3.2 * RATE)
    assert talk.port.reported < 1.2 * RATE


def test_a_slow_machine_says_so_and_plays_without_gaps() -> None:
    talk = Talk(factor=2.0, settings=PlaybackSettings(expected_answer_s=3.2))
    talk.run(1.0, voice=True)
    talk.run(12.0)
    (notice,) = talk.of(Notice)
    assert "2.0 s for a second of speech" in notice.text
    (report,) = talk.of(TurnReport)
    assert report.underruns == 0
    assert report.first_sound_seconds is not None and report.first_sound_seconds > 3
    sound = np.flatnonzero(talk.sound())
    assert sound[-1] - sound[0] < 3.25 * RATE


def test_a_question_that_fails_does_not_end_the_conversation(output: Output) -> None:
    talk = Talk(output, fails=True)
    talk.run(1.0, voice=True)
    talk.run(2.0)
    assert talk.of(Notice)[0].text == "it does not fit."
    talk.model.fails = False
    talk.run(1.0, voice=True)
    talk.run(6.0)
    assert [event.turn for event in talk.of(AnswerHeard)] == [2]


def test_an_answer_without_sound() -> None:
    talk = Talk(seconds=0.0)
    talk.run(1.0, voice=True)
    talk.run(2.0)
    (report,) = talk.of(TurnReport)
    assert report.first_sound_seconds is None
    assert talk.of(AnswerHeard)[0].text == "two and two is four"
    assert talk.states == ["listening", "hearing", "thinking", "listening"]


def test_thoughts_are_not_part_of_the_answer() -> None:
    talk = Talk(seconds=0.0, words=("two twos\n</think>\n", "four"))
    talk.run(1.0, voice=True)
    talk.run(2.0)
    (answer,) = talk.of(AnswerHeard)
    assert (answer.thinking, answer.text) == ("two twos", "four")


def test_a_lost_device_pauses_and_the_conversation_goes_on(output: Output) -> None:
    talk = Talk(output)
    talk.run(1.0, voice=True)
    talk.conversation.pause(talk.now)
    talk.run(1.0)
    talk.conversation.resume()
    talk.run(1.0, voice=True)
    talk.run(6.0)
    assert [event.turn for event in talk.of(AnswerHeard)] == [1]
    assert "paused" in talk.states


def test_an_answer_that_the_end_of_the_conversation_interrupts(output: Output) -> None:
    talk = Talk(output)
    talk.run(1.0, voice=True)
    talk.run(2.5)
    talk.conversation.close(talk.now)
    talk.run(1.0)  # the model's thread ends, too, and tells what was heard
    (answer,) = talk.of(AnswerHeard)
    assert answer.interrupted and answer.text == "two and"
    assert talk.of(TurnReport)[0].reason == "cancelled"
    talk.conversation.close(talk.now)
    assert len(talk.of(AnswerHeard)) == 1


def test_levels_are_shown_ten_times_a_second() -> None:
    talk = Talk()
    talk.run(1.0)
    talk.run(1.0, voice=True)
    levels = [event.dbfs for event in talk.of(Level)]
    assert 14 <= len(levels) <= 20
    assert levels[0] == -90 and levels[-1] == pytest.approx(-14, abs=0.1)
