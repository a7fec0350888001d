"""Times in a recording whose pauses were shortened."""

from __future__ import annotations

import numpy as np
import pytest

from mimo_edge.audio import Timeline, kept_stretches, shorten_pauses

from .test_pauses import RATE, question, silence


def test_places_are_those_of_the_recording() -> None:
    timeline = Timeline([(10, 20), (50, 55), (60, 100)])
    assert timeline.span(0, 55) == (10, 100)
    assert timeline.span(0, 10) == (10, 20)
    assert timeline.span(10, 15) == (50, 55)
    assert timeline.span(9, 11) == (19, 51)
    assert timeline.span(54, 55) == (99, 100)
    assert timeline.breaks(29) == [10]
    assert timeline.breaks(4) == [10, 15]
    assert timeline.breaks(30) == []


def test_nothing_left_out() -> None:
    timeline = Timeline([(0, 7)])
    assert timeline.span(2, 7) == (2, 7)
    assert timeline.breaks(0) == []


def test_every_sample_is_where_it_was() -> None:
    recording = np.concatenate([silence(3), question(), silence(5), question("name"), silence(2)])
    recording += np.random.default_rng(0).normal(0, 1e-5, len(recording)).astype(np.float32)
    kept = shorten_pauses(recording, RATE)
    timeline = Timeline(kept_stretches(recording, RATE))
    for at in range(0, len(kept), 997):
        begin, end = timeline.span(at, at + 1)
        assert end == begin + 1
        assert recording[begin] == kept[at]
    begin, end = timeline.span(0, len(kept))
    assert begin / RATE == pytest.approx(3 - 0.3, abs=0.3)
    assert end / RATE == pytest.approx((len(recording) - 2 * RATE) / RATE + 0.4, abs=0.3)
