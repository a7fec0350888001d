"""The live conversation on a simulated clock: real turn-taking and playback, scripted sides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from mimo_edge.events import TurnStats
from mimo_edge.live.conversation import Conversation
from mimo_edge.live.events import (
    AnswerHeard,
    AnswerText,
    Level,
    LiveEvent,
    Notice,
    QuestionHeard,
    StateChanged,
    TurnReport,
)
from mimo_edge.live.model_events import Ended, Failed, Kept, ModelEvent, Ready, Sound, Text
from mimo_edge.live.playback import Playback
from mimo_edge.live.turns import TurnTaker
from mimo_edge.live.voice_activity import VoiceChunk

RATE = 24_000
STEP = 0.02
PATCH = 0.16
STATS = TurnStats(
    prompt_positions=40,
    cached_positions=30,
    text_tokens=6,
    patches=12,
    prefill_seconds=0.1,
    backbone_seconds=0.5,
    patch_seconds=0.5,
    audio_seconds=1.92,
)


class LoudIsVoice:
    """A voice detector: chunks of 32 ms, voice where it is loud."""

    def __init__(self) -> None:
        self.rest = np.zeros(0, np.float32)

    def feed(self, block: np.ndarray) -> list[VoiceChunk]:
        self.rest = np.concatenate([self.rest, block])
        size, out = 768, []
        while len(self.rest) >= size:
            loud = float(np.abs(self.rest[:size]).mean() > 0.05)
            out.append(VoiceChunk(probability=loud, samples=size))
            self.rest = self.rest[size:]
        return out

    def reset(self) -> None:
        self.rest = self.rest[:0]


@dataclass
class ScriptedModel:
    """Answers after `delay` with `seconds` of sound at a real-time factor."""

    later: Callable[[float, ModelEvent], None]
    delay: float = 0.2
    factor: float = 0.3
    seconds: float = 3.2
    fails: bool = False
    words: tuple[str, str] = ("two and ", "two is four")
    first_word: float = 0.0
    """Seconds of sound before anything was said."""
    calls: list[tuple] = field(default_factory=list)
    heard: list[np.ndarray] = field(default_factory=list)
    asked: list[np.ndarray] = field(default_factory=list)

    def hear(self, samples: np.ndarray) -> None:
        self.heard.append(samples)

    def prepare(self, samples: np.ndarray) -> None:
        self.asked.append(samples)
        self.calls.append(("prepare", len(samples)))

    def forget(self) -> None:
        self.calls.append(("forget",))

    def answer(self, turn: int, samples: np.ndarray) -> None:
        self.calls.append(("answer", turn, len(samples)))
        if self.fails:
            self.later(self.delay, Failed(turn=turn, sentence="it does not fit."))
            return
        at = self.delay
        self.later(at, Text(turn=turn, text=self.words[0]))
        for _ in range(round(self.seconds / PATCH)):
            at += PATCH * self.factor
            tone = np.full(round(PATCH * RATE), 0.3, np.float32)
            self.later(at, Sound(turn=turn, samples=tone))
        self.later(at, Text(turn=turn, text=self.words[1]))
        self.later(at, Ended(turn=turn, reason="stop", stats=STATS, prepared_positions=8))

    def stop(self, turn: int, heard: int) -> None:
        self.calls.append(("stop", turn, heard))
        ended = Ended(turn=turn, reason="cancelled", stats=STATS)
        said = "two and" if heard > self.first_word * RATE else ""
        self.later(0.05, Kept(turn=turn, text=said, ended=ended))


class Talk:
    """Both sides, twenty milliseconds at a time."""

    def __init__(self, *, barge_in: str = "headphones", **model: Any) -> None:
        self.now = 100.0
        self.events: list[tuple[float, LiveEvent]] = []
        self.due: list[tuple[float, int, ModelEvent]] = []
        self.model = ScriptedModel(self.later, **model)
        self.playback = Playback(RATE)
        turns = TurnTaker(LoudIsVoice(), RATE, barge_in=barge_in)
        self.conversation = Conversation(
            turns, self.playback, self.model, self.emit, rate=RATE, began=self.now
        )
        self.heard: list[np.ndarray] = []
        self.conversation.model_event(Ready(), self.now)

    def emit(self, event: LiveEvent) -> None:
        self.events.append((self.now, event))

    def later(self, seconds: float, event: ModelEvent) -> None:
        self.due.append((self.now + seconds, len(self.due), event))

    def run(self, seconds: float, *, voice: bool = False) -> None:
        for _ in range(round(seconds / STEP)):
            self.now += STEP
            block = np.full(round(STEP * RATE), 0.2 if voice else 0.0, np.float32)
            self.conversation.hear(block, self.now)
            for item in sorted(item for item in self.due if item[0] <= self.now):
                self.due.remove(item)
                self.conversation.model_event(item[2], self.now)
            self.heard.append(self.playback.pull(len(block)))
            self.conversation.tick(self.now)

    def of(self, kind: type) -> list:
        return [event for _, event in self.events if isinstance(event, kind)]

    def at(self, kind: type) -> list[float]:
        return [now for now, event in self.events if isinstance(event, kind)]

    @property
    def states(self) -> list[str]:
        return [event.state for event in self.of(StateChanged)]

    def sound(self) -> np.ndarray:
        return np.concatenate(self.heard)


def test_a_question_is_answered() -> None:
    talk = Talk()
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


def test_what_a_turn_took_is_reported() -> None:
    talk = Talk()
    talk.run(1.0, voice=True)
    talk.run(6.0)
    (report,) = talk.of(TurnReport)
    # 0.55 s of silence beyond the rest decide that the turn is over, then the model's delay.
    assert 0.7 < report.first_sound_seconds < 1.2
    assert report.real_time_factor == pytest.approx(1.0 / 1.92)
    assert report.patches_per_second == pytest.approx(12)
    assert (report.evaluated_positions, report.cached_positions) == (10, 30)
    assert report.prepared_positions == 8 and report.underruns == 0


def test_two_turns() -> None:
    talk = Talk(barge_in="off")
    for _ in range(2):
        talk.run(1.0, voice=True)
        talk.run(6.0)
    assert [event.turn for event in talk.of(QuestionHeard)] == [1, 2]
    assert [event.turn for event in talk.of(AnswerHeard)] == [1, 2]


def test_the_answer_is_prepared_at_the_pause_and_thrown_away_if_speech_goes_on() -> None:
    talk = Talk()
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


def test_barge_in_stops_the_sound_at_once_and_cuts_the_answer() -> None:
    talk = Talk()
    talk.run(1.0, voice=True)
    talk.run(2.5)
    assert talk.conversation.state == "speaking"
    began = talk.now
    talk.run(1.0, voice=True)
    silent = np.flatnonzero(np.abs(talk.sound())[::-1] > 0)[0] / RATE
    assert 1.0 - silent < 0.12  # of which 0.06 s are needed to suspect that it is a voice
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
    talk = Talk()
    talk.conversation.output_latency = 0.06
    talk.run(1.0, voice=True)
    talk.run(2.5)
    talk.run(1.0, voice=True)
    ((_, _, heard),) = [call for call in talk.model.calls if call[0] == "stop"]
    assert heard == pytest.approx(np.count_nonzero(talk.sound()), abs=RATE * 0.01)


def test_an_answer_that_is_cut_within_its_first_word_ends_too() -> None:
    """Who listens to the events hears of it, and the question counts."""
    talk = Talk(first_word=0.4)
    talk.run(1.0, voice=True)
    while talk.conversation.state != "speaking":
        talk.run(STEP)
    talk.run(1.0, voice=True)
    talk.run(6.0)
    cut, answer = talk.of(AnswerHeard)
    assert cut.interrupted and cut.text == ""
    assert (cut.turn, answer.turn) == (1, 2)
    first, second = [call for call in talk.model.calls if call[0] == "answer"]
    assert second[2] < first[2] + 0.5 * RATE  # it is asked alone


def test_an_answer_that_is_cut_before_it_reached_the_ear_leaves_its_question_open() -> None:
    talk = Talk()
    talk.conversation.output_latency = 0.4
    talk.run(1.0, voice=True)
    while talk.conversation.state != "speaking":
        talk.run(STEP)
    talk.run(1.0, voice=True)
    talk.run(6.0)
    (answer,) = talk.of(AnswerHeard)
    assert answer.turn == 2
    first, second = [call for call in talk.model.calls if call[0] == "answer"]
    assert second[2] > first[2] + 1.0 * RATE  # both parts are one question


def test_a_cough_holds_the_answer_and_nothing_of_it_is_lost() -> None:
    talk = Talk()
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


def test_with_barge_in_off_nobody_interrupts() -> None:
    talk = Talk(barge_in="off")
    talk.run(1.0, voice=True)
    talk.run(2.0)
    talk.run(0.8, voice=True)
    talk.run(4.0)
    assert len(talk.of(QuestionHeard)) == 1
    assert not talk.of(AnswerHeard)[0].interrupted


def test_who_goes_on_before_the_answer_is_heard_asks_one_question() -> None:
    talk = Talk(delay=1.0)
    talk.run(1.0, voice=True)
    talk.run(0.9)  # the turn is over, the model is thinking
    assert talk.conversation.state == "thinking"
    talk.run(1.0, voice=True)
    talk.run(8.0)
    first, last = (call for call in talk.model.calls if call[0] == "answer")
    assert last[2] > first[2] + 0.9 * RATE
    assert [event.turn for event in talk.of(AnswerHeard)] == [2]


def test_a_slow_machine_says_so_and_plays_without_gaps() -> None:
    talk = Talk(factor=2.0)
    talk.playback._pace._expected = 3.2
    talk.run(1.0, voice=True)
    talk.run(12.0)
    (notice,) = talk.of(Notice)
    assert "2.0 s for a second of speech" in notice.text
    (report,) = talk.of(TurnReport)
    assert report.underruns == 0 and report.first_sound_seconds > 3
    sound = np.flatnonzero(talk.sound())
    assert sound[-1] - sound[0] < 3.25 * RATE


def test_ctrl_c_ends_the_turn() -> None:
    talk = Talk()
    assert not talk.conversation.interrupt(talk.now)
    talk.run(1.0, voice=True)
    assert talk.conversation.interrupt(talk.now)
    talk.run(2.0)
    assert not talk.of(QuestionHeard)
    talk.run(1.0, voice=True)
    talk.run(2.0)
    assert talk.conversation.state == "speaking"
    assert talk.conversation.interrupt(talk.now)
    talk.run(2.0)
    assert talk.of(AnswerHeard)[0].interrupted
    assert talk.conversation.state == "listening"


def test_a_question_that_fails_does_not_end_the_conversation() -> None:
    talk = Talk(fails=True)
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


def test_a_lost_device_pauses_and_the_conversation_goes_on() -> None:
    talk = Talk()
    talk.run(1.0, voice=True)
    talk.conversation.pause(talk.now)
    talk.run(1.0)
    talk.conversation.resume()
    talk.run(1.0, voice=True)
    talk.run(6.0)
    assert [event.turn for event in talk.of(AnswerHeard)] == [1]
    assert "paused" in talk.states


def test_levels_are_shown_ten_times_a_second() -> None:
    talk = Talk()
    talk.run(1.0)
    talk.run(1.0, voice=True)
    levels = [event.dbfs for event in talk.of(Level)]
    assert 14 <= len(levels) <= 20
    assert levels[0] == -90 and levels[-1] == pytest.approx(-14, abs=0.1)
