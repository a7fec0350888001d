"""What the microphone hears while the model speaks: nothing, a cough, an echo, the user."""

from __future__ import annotations

import pytest

from mimo_edge.dialogue.turn_events import (
    BargeIn,
    BargeInDismissed,
    BargeInMode,
    BargeInSuspected,
    PauseStarted,
    TurnFinished,
    TurnStarted,
)

from .scripted_voice import CHUNK, QUIET, VOICE, WHOLE_TURN, kinds, signal, taker, timeline


def test_off_is_deaf_until_the_room_is_quiet() -> None:
    listener = taker("off")
    listener.feed(signal((QUIET, 10)))
    listener.answer_started()
    assert listener.feed(signal((VOICE, 60))) == []
    listener.answer_ended()
    events = listener.feed(signal((VOICE, 7), (QUIET, 30)))  # the last of it, in the room
    assert events == []
    events = listener.feed(signal((VOICE, 10), (QUIET, 30)))
    assert kinds(events) == WHOLE_TURN
    assert isinstance(events[-1], TurnFinished)
    # Positions count the ignored samples too; chunks begin where the deafness ended.
    assert abs(events[-1].start - (107 * CHUNK - 300)) < CHUNK


def test_after_deafness_the_pre_roll_holds_none_of_the_models_voice() -> None:
    listener = taker("off", tail_s=0)
    listener.answer_started()
    listener.feed(signal((VOICE, 20)))
    listener.answer_ended()
    events = listener.feed(signal((QUIET, 2), (VOICE, 10), (QUIET, 30)))
    assert isinstance(events[-1], TurnFinished) and events[-1].start == 20 * CHUNK


def test_barge_in() -> None:
    listener = taker("headphones")
    listener.answer_started()
    assert timeline(listener, signal((QUIET, 20), (VOICE, 6))) == [
        (21, BargeInSuspected),
        (26, BargeIn),
        (26, TurnStarted),
    ]
    listener.answer_ended()
    events = listener.feed(signal((VOICE, 10), (QUIET, 30)))
    assert kinds(events) == [PauseStarted, TurnFinished]
    assert isinstance(events[-1], TurnFinished)
    assert events[-1].start == 20 * CHUNK - 300


def test_barge_in_needs_more_than_a_turn() -> None:
    listener = taker("headphones")
    listener.answer_started()
    assert timeline(listener, signal((QUIET, 20), (VOICE, 5), (QUIET, 30))) == [
        (21, BargeInSuspected),
        (32, BargeInDismissed),
    ]
    assert listener.feed(signal((0.55, 30), (QUIET, 30))) == []
    listener.answer_ended()
    assert kinds(listener.feed(signal((0.55, 30), (QUIET, 30)))) == WHOLE_TURN


def test_what_may_be_an_echo_holds_the_answer_but_does_not_end_it() -> None:
    """An answer that is held echoes on for a moment, a user goes on for longer."""
    listener = taker("aec")
    listener.answer_started()
    assert timeline(listener, signal((QUIET, 20), (VOICE, 8), (QUIET, 30))) == [
        (21, BargeInSuspected),
        (37, BargeInDismissed),
    ]
    # 0.3 s, nine chunks, decide nothing; three after them do.
    assert timeline(listener, signal((VOICE, 15))) == [
        (1, BargeInSuspected),
        (13, BargeIn),
        (13, TurnStarted),
    ]
    listener.answer_ended()
    turn = listener.feed(signal((QUIET, 30)))[-1]
    assert isinstance(turn, TurnFinished) and turn.start == 58 * CHUNK - 300


@pytest.mark.parametrize("barge_in", ["off", "headphones"])
def test_a_turn_in_progress_survives_the_start_of_an_answer(barge_in: BargeInMode) -> None:
    listener = taker(barge_in)
    assert kinds(listener.feed(signal((VOICE, 10)))) == [TurnStarted]
    listener.answer_started()
    assert kinds(listener.feed(signal((VOICE, 10), (QUIET, 30)))) == [PauseStarted, TurnFinished]
