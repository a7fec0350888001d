"""Who gets which core while an answer is spoken."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from mimo_edge.config import RuntimeOptions
from mimo_edge.core_shares import run_when_idle, share_cores
from mimo_edge.engine import Engine
from mimo_edge.sound import SoundOptions, SoundThread

SMALL, LARGE = 2_000_000, 4_700_000_000

on_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux lowers the priority of one thread"
)


@pytest.mark.parametrize(
    ("threads", "cores", "size", "beside"),
    [(8, 8, LARGE, 7), (4, 8, LARGE, 4), (9, 8, SMALL, 8), (2, 2, SMALL, 1), (1, 1, LARGE, 1)],
)
def test_a_core_is_left_to_the_sound(
    threads: int, cores: int, size: int, beside: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mimo_edge.core_shares.usable_cores", lambda: cores)
    shares = share_cores(threads, size)
    assert (shares.threads, shares.beside_sound) == (threads, beside)
    assert shares.patch_decoder == min(beside, 4)
    assert not shares.sound_yields


@on_linux
def test_of_two_cores_a_large_model_gets_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mimo_edge.core_shares.usable_cores", lambda: 2)
    shares = share_cores(2, LARGE)
    assert (shares.beside_sound, shares.patch_decoder, shares.sound_yields) == (2, 1, True)
    assert not share_cores(1, LARGE).sound_yields  # whoever asks for one thread leaves a core


def test_threads_follow_the_size_unless_somebody_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second thread makes a small model no faster, and waits where another program is busy."""
    monkeypatch.setattr("mimo_edge.core_shares.usable_cores", lambda: 8)
    monkeypatch.setattr("mimo_edge.core_shares.fast_cores", lambda: 6)
    assert share_cores(0, SMALL).threads == 1
    assert share_cores(0, LARGE).threads == 6
    assert share_cores(0, LARGE).makes_way and share_cores(0, SMALL).makes_way
    assert not share_cores(6, LARGE).makes_way


@on_linux
def test_only_the_thread_that_asks_for_it_runs_when_idle() -> None:
    found = []

    def ask() -> None:
        run_when_idle()
        found.append(priority())

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert found == [19]
    assert priority() < 19


@on_linux
def test_sound_that_yields_is_decoded_at_the_lowest_priority(
    reference_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mimo_edge.core_shares.usable_cores", lambda: 2)
    monkeypatch.setattr("mimo_edge.core_shares._LARGE_BYTES", 0)
    options = RuntimeOptions(threads=2, context=64, device="cpu")
    found: list[int] = []

    def note(samples: np.ndarray) -> None:
        found.append(priority())

    with contextlib.closing(Engine.load(reference_bundle, options)) as engine:
        layout = engine.manifest.patch
        sound = SoundThread(
            engine.audio_tokenizer.stream(0), layout.group_size, SoundOptions(on_samples=note)
        )
        for _ in range(3):
            sound.push(np.zeros((layout.group_size, layout.channels), dtype=np.int64))
        assert not list(sound.finish())
        sound.close()
    assert set(found) == {19}
    assert priority() < 19


def priority() -> int:
    """Of the calling thread: 0 is usual, 19 the lowest."""
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
