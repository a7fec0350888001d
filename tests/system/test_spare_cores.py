"""Threads make way for other programs: a core that they keep busy is left alone."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from mimo_edge.system.spare_cores import SpareCores, processor_times


@pytest.fixture(autouse=True)
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """The made-up machines have as many as they say; this one counts only where it is measured."""
    monkeypatch.setattr("mimo_edge.system.spare_cores.usable_cores", lambda: 8)


class Machine:
    """A made-up machine: what other programs and this one compute from now on."""

    def __init__(self, cpus: int) -> None:
        self.cpus = cpus
        self.now = self.total = self.own = 0.0

    def run(self, seconds: float, *, others: float, own: float) -> None:
        """`others` and `own` are cores."""
        self.now += seconds
        self.own += own * seconds
        self.total += (own + others) * seconds

    def times(self) -> tuple[float, float, int]:
        return self.total, self.own, self.cpus


def test_cores_that_others_keep_busy_are_left_alone() -> None:
    machine = Machine(8)
    others = SpareCores(machine.times, lambda: machine.now)
    assert others.spare(8) == 8
    for busy, spare in ((0.0, 8), (0.2, 8), (0.5, 7), (1.0, 7), (1.6, 6), (7.9, 1), (8.0, 1)):
        machine.run(1.0, others=busy, own=8 - busy)
        others.ran()
        assert others.spare(8) == spare, busy
        assert others.spare(1) == 1
        assert others.spare(4) == min(4, spare)
    machine.run(1.0, others=0.0, own=1.0)
    others.ran()
    assert others.spare(8) == 8, "they are back when the other program ends"


def test_sound_that_is_decoded_has_a_core_meanwhile() -> None:
    """Of the physical ones, of which there may be fewer than logical ones."""
    machine = Machine(16)
    spare = SpareCores(machine.times, lambda: machine.now)
    assert spare.spare(8) == 8
    with spare.taken():
        assert spare.spare(8) == 7
        with spare.taken():
            assert spare.spare(8) == 6
            assert spare.spare(4) == 4
    with pytest.raises(KeyboardInterrupt), spare.taken():
        raise KeyboardInterrupt
    assert spare.spare(8) == 8


def test_it_looks_now_and_then_only() -> None:
    machine = Machine(2)
    others = SpareCores(machine.times, lambda: machine.now)
    machine.run(0.1, others=1.0, own=1.0)
    assert others.spare(2) == 2, "a tenth of a second may be anything"
    machine.run(0.2, others=1.0, own=1.0)
    assert others.spare(2) == 1


def test_what_others_do_in_a_pause_does_not_count() -> None:
    machine = Machine(2)
    others = SpareCores(machine.times, lambda: machine.now)
    machine.run(5.0, others=2.0, own=0.0)
    assert others.spare(2) == 2
    machine.run(0.3, others=1.0, own=1.0)
    others.ran()
    machine.run(0.1, others=0.0, own=0.0)
    assert others.spare(2) == 1
    machine.run(5.0, others=0.0, own=0.0)
    assert others.spare(2) == 1, "until it is known better"
    machine.run(0.3, others=0.0, own=1.0)
    others.ran()
    assert others.spare(2) == 2


@pytest.fixture
def busy_loop() -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        yield
        process.kill()


def test_a_real_busy_program_is_seen(busy_loop: None) -> None:
    """However busy this machine is: at least the loop is."""
    time.sleep(0.5)  # until it runs
    others = SpareCores()
    time.sleep(2.0)
    assert others.look() > 0.3


def test_what_this_program_computes_is_its_own() -> None:
    total, own, cpus = processor_times()
    end = time.process_time() + 0.5
    while time.process_time() < end:
        pass
    more_total, more_own, _ = processor_times()
    assert cpus >= 1
    assert more_own - own >= 0.4
    assert more_total - total >= more_own - own - 0.1
