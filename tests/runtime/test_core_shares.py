"""Who gets which core while an answer is spoken."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mimo_edge.config import RuntimeOptions
from mimo_edge.cores import fast_cores, run_when_idle, share_cores, usable_cores
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
    monkeypatch.setattr("mimo_edge.cores.usable_cores", lambda: cores)
    shares = share_cores(threads, size)
    assert (shares.threads, shares.beside_sound) == (threads, beside)
    assert shares.patch_decoder == min(beside, 4)
    assert not shares.sound_yields


@on_linux
def test_of_two_cores_a_large_model_gets_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mimo_edge.cores.usable_cores", lambda: 2)
    shares = share_cores(2, LARGE)
    assert (shares.beside_sound, shares.patch_decoder, shares.sound_yields) == (2, 1, True)
    assert not share_cores(1, LARGE).sound_yields  # whoever asks for one thread leaves a core


@pytest.fixture
def hybrid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What Linux says of two fast cores with two threads each (0 to 3) and four slow ones."""
    for cpu in range(8):
        topology = tmp_path / f"system/cpu/cpu{cpu}/topology"
        topology.mkdir(parents=True)
        first = cpu // 2 * 2
        siblings = f"{first}-{first + 1}" if cpu < 4 else f"{cpu}"
        (topology / "core_cpus_list").write_text(f"{siblings}\n")
    (tmp_path / "cpu_core").mkdir()
    (tmp_path / "cpu_core" / "cpus").write_text("0-3\n")
    monkeypatch.setattr("mimo_edge.cores._SYSTEM", tmp_path)
    return tmp_path


@on_linux
@pytest.mark.parametrize(
    ("allowed", "usable", "fast"),
    [(range(8), 6, 2), ([0, 1], 1, 1), ([0, 2, 3, 5], 3, 2), ([4, 5, 6], 3, 3)],
)
def test_threads_are_counted_by_fast_cores(
    allowed: Sequence[int],
    usable: int,
    fast: int,
    hybrid: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(allowed))
    assert (usable_cores(), fast_cores()) == (usable, fast)
    assert RuntimeOptions().thread_count() == fast
    assert RuntimeOptions(threads=8).thread_count() == 8


@on_linux
def test_where_linux_tells_nothing_every_processor_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mimo_edge.cores._SYSTEM", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 7})
    assert (usable_cores(), fast_cores()) == (3, 3)
    (tmp_path / "cpu_core").mkdir()
    (tmp_path / "cpu_core" / "cpus").write_text("0-?\n")
    assert fast_cores() == 3


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
    monkeypatch.setattr("mimo_edge.cores.usable_cores", lambda: 2)
    monkeypatch.setattr("mimo_edge.cores._LARGE_BYTES", 0)
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
