from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest

from mimo_edge.bundle.default_bundle import find_bundle
from mimo_edge.bundle.files import load_manifest
from mimo_edge.generation.events import Event, TurnStats
from mimo_edge.model import MimoAudio
from mimo_edge.server.sharing.speed import Carried, Together, measure_one


def answer(patches: int, seconds: float) -> TurnStats:
    return TurnStats(
        prompt_positions=10,
        cached_positions=0,
        text_tokens=0,
        patches=patches,
        prefill_seconds=0,
        backbone_seconds=seconds,
        patch_seconds=0,
        audio_seconds=0.16 * patches,
    )


@pytest.fixture
def carried() -> Carried:
    return Carried(load_manifest(find_bundle(None)))


def test_a_voice_needs_as_many_patches_as_are_heard(carried: Carried) -> None:
    assert carried.needed == pytest.approx(6.25)


@pytest.mark.parametrize(
    ("rate", "most"),
    [(1, 1), (6, 1), (8, 1), (14, 1), (16, 2), (22, 3), (1000, 8)],
)
def test_a_machine_carries_what_it_makes(carried: Carried, rate: float, most: int) -> None:
    """Of several voices nothing was measured: together they get what one has."""
    carried.measured(1, answer(100, 100 / rate))
    assert carried.most == most


def test_what_was_measured_of_several_counts_more(carried: Carried) -> None:
    carried.measured(1, answer(100, 10))
    assert carried.most == 1
    carried.measured(2.1, answer(100, 11))  # batched, each is hardly slower
    assert carried.most == 2
    for _ in range(10):
        carried.measured(2, answer(100, 30))  # other programs are busy now
    assert carried.most == 1


def test_short_answers_say_nothing(carried: Carried) -> None:
    carried.measured(1, answer(100, 1))
    carried.measured(2, answer(2, 100))
    carried.measured(2, answer(0, 0))
    assert carried.most == 8


def test_where_nothing_was_measured_one_voice_is_carried(carried: Carried) -> None:
    """A machine that made no patch in the time that it had is a slow one."""
    assert carried.carry(1)
    assert carried.most == 1
    carried.measured(1, answer(0, 20), least=1)
    assert carried.most == 1
    carried.measured(1, answer(100, 1))
    assert carried.most == 8


def test_how_many_are_made_at_once() -> None:
    together = Together()
    with together.one_more() as one:
        assert together.now == 1
        with together.one_more() as two:
            assert together.now == 2
            time.sleep(0.2)
            assert two.average == pytest.approx(2, abs=0.1)
        assert 0.9 < one.average < 2.1
    assert together.now == 0


def test_one_voice_of_the_model_is_measured() -> None:
    with MimoAudio.load() as model:
        stats = measure_one(model)
    assert stats is not None
    assert stats.patches > 5
    assert stats.generation_seconds > 0


class Slow:
    """A model whose steps take time, so that the first of its patches come late."""

    def __init__(self, model: MimoAudio) -> None:
        self._model, self.manifest = model, model.manifest

    def stream(self, *args: Any, **options: Any) -> Iterator[Event]:
        time.sleep(2.5)
        yield from self._model.stream(*args, **options)


def test_a_slow_machine_is_measured_until_patches_came() -> None:
    with MimoAudio.load() as model:
        stats = measure_one(cast(MimoAudio, Slow(model)), lookahead=32)
    assert stats is not None
    assert stats.patches >= 8


def test_the_measurement_can_be_ended() -> None:
    ends = threading.Event()
    ends.set()
    with MimoAudio.load() as model:
        stats = measure_one(model, ends=ends)
    assert stats is not None
    assert stats.patches == 0
