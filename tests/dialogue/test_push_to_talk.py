"""Turns that begin and end with a key. At 1000 Hz positions are milliseconds."""

from __future__ import annotations

import numpy as np

from mimo_edge.dialogue.push_to_talk import PushToTalk
from mimo_edge.dialogue.turn_events import (
    BargeIn,
    TurnDropped,
    TurnFinished,
    TurnSettings,
    TurnStarted,
)

RATE = 1000


def test_a_key_makes_a_turn() -> None:
    talk, sound = PushToTalk(RATE), np.arange(3000, dtype=np.float32)
    assert talk.feed(sound[:1000]) == []
    assert talk.press() == [TurnStarted(start=700)]
    assert talk.press() == []
    assert talk.feed(sound[1000:2500]) == []
    (turn,) = talk.release()
    assert isinstance(turn, TurnFinished)
    assert (turn.start, turn.end) == (700, 2500)
    np.testing.assert_array_equal(turn.samples, sound[700:2500])
    assert talk.release() == []


def test_a_touched_key_makes_none() -> None:
    talk = PushToTalk(RATE)
    talk.press()
    talk.feed(np.zeros(100, dtype=np.float32))
    assert talk.release() == [TurnDropped()]


def test_a_key_interrupts_the_model_and_keeps_nothing_of_its_voice() -> None:
    talk = PushToTalk(RATE)
    talk.answer_started()
    talk.feed(np.ones(1000, dtype=np.float32))
    assert talk.press() == [BargeIn(), TurnStarted(start=1000)]
    talk.answer_ended()
    talk.feed(np.zeros(500, dtype=np.float32))
    (turn,) = talk.release()
    assert isinstance(turn, TurnFinished)
    assert turn.start == 1000 and not turn.samples.any()


def test_a_key_held_too_long() -> None:
    talk = PushToTalk(RATE, TurnSettings(max_turn_s=3))
    talk.press()
    events = [event for _ in range(50) for event in talk.feed(np.zeros(100, dtype=np.float32))]
    assert [type(event) for event in events] == [TurnFinished]
    assert isinstance(events[0], TurnFinished)
    assert len(events[0].samples) == 3000
    assert talk.release() == []
