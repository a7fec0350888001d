"""Several answers that speak at once in this process: when each of their patches came."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import psutil
from numpy.typing import NDArray

from ..engine import Engine
from ..generation.answer import Step
from ..generation.position_cache import New, PositionCache
from ..prompt.positions import Positions
from .forced_answer import ForcedAnswer

__all__ = ["ARRIVING", "PATCHES", "PROMPT", "Arrival", "Spoken", "measure_arrival", "speak"]

PROMPT = 64
"""Positions of the prompt of each answer, about a question of eight seconds."""
PATCHES = 25
"""Patches of each answer, once all of them speak: four seconds of the released model's speech."""
ARRIVING = 188
"""Patches of the long prompt that arrives while an answer speaks: 30 seconds of sound."""
_BEFORE = 12
"""Patches of that answer before."""
_PIECES = 5
"""How often a piece of a prompt is timed; the median counts."""


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """What the answers of one process did; times are those of `time.perf_counter`."""

    began: float
    """When all of them were asked for."""
    patch_times: list[list[float]]
    """For each answer, when each of its patches was made."""
    resident: int
    """Bytes of the process in memory afterwards, mapped weights among them."""
    private: int
    """Those of them that no other process shares, where the system tells; else all."""


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """What it does to a running answer that a long prompt arrives."""

    patches: int
    """Of the prompt."""
    usual_gap: float
    """Seconds between two patches of the running answer before."""
    worst_gap: float
    """The longest such time until the prompt is evaluated and its answer begins to speak."""
    first_patch: float
    """Seconds from the prompt's arrival to the first patch of its answer."""
    piece_positions: int
    """Positions of the prompt that are evaluated between two patches of the running answer."""
    piece_seconds: float
    """What one such piece takes by itself."""


class _SpeakingAnswer(ForcedAnswer):
    """An answer that only speaks, and notes when."""

    def __init__(self, engine: Engine, cache: PositionCache, prompt: Positions) -> None:
        super().__init__(engine, cache, prompt, [engine.layout.empty_id])
        self.patch_times: list[float] = []

    def take_patch(self, patch: NDArray[np.int64]) -> None:
        super().take_patch(patch)
        self.patch_times.append(time.perf_counter())


def speak(engine: Engine, count: int, *, threads: bool) -> Spoken:
    """Ask for so many answers at once and let them speak until each has made enough patches.

    All are read in turn by one thread, or each by a thread of its own.
    """
    began = time.perf_counter()
    with contextlib.ExitStack() as opened:
        answers = [opened.enter_context(_answer(engine, _text(engine, n))) for n in range(count)]
        (_read_in_threads if threads else _read_in_turn)(engine, answers)
    memory = psutil.Process().memory_info()
    return Spoken(
        began=began,
        patch_times=[answer.patch_times for answer in answers],
        resident=memory.rss,
        private=memory.rss - getattr(memory, "shared", 0),
    )


def measure_arrival(engine: Engine) -> Arrival:
    """Let an answer speak, and a long prompt arrive meanwhile."""
    with _answer(engine, _text(engine, 0)) as running:
        reader = engine.scheduler.read(running)
        for _ in range(_BEFORE):
            next(reader)
        arrived = time.perf_counter()
        with _answer(engine, _sound(engine, ARRIVING)) as arriving, ThreadPoolExecutor(1) as pool:
            # Somebody listens to the first one all the time, as in a conversation.
            listening = pool.submit(_read_until, reader, arriving)
            next(engine.scheduler.read(arriving))
            listening.result()
    times = np.array(running.patch_times)
    gaps, ends = np.diff(times), times[1:]
    piece = engine.scheduler.piece_beside
    return Arrival(
        patches=ARRIVING,
        usual_gap=float(np.median(gaps[ends < arrived])),
        worst_gap=float(np.max(gaps[ends >= arrived])),
        first_patch=arriving.patch_times[0] - arrived,
        piece_positions=piece,
        piece_seconds=_piece_seconds(engine, piece),
    )


def _read_until(reader: Iterator[Step], other: _SpeakingAnswer) -> None:
    """Read one answer until another one has begun to speak."""
    for _ in reader:
        if other.patch_times:
            return


@contextlib.contextmanager
def _answer(engine: Engine, prompt: Positions) -> Iterator[_SpeakingAnswer]:
    with contextlib.closing(engine.new_cache()) as cache:
        answer = _SpeakingAnswer(engine, cache, prompt)
        with engine.scheduler.running(answer):
            yield answer


def _read_in_turn(engine: Engine, answers: Sequence[_SpeakingAnswer]) -> None:
    readers = [engine.scheduler.read(answer) for answer in answers]
    while not _enough(answers):
        for reader in readers:
            next(reader)
            # While one was waited for, the others went on; who is not read would stop at last.
            for answer in answers:
                while answer.read() is not None:
                    pass


def _read_in_threads(engine: Engine, answers: Sequence[_SpeakingAnswer]) -> None:
    def read(answer: _SpeakingAnswer) -> None:
        for _ in engine.scheduler.read(answer):
            if _enough(answers):
                return

    with ThreadPoolExecutor(len(answers)) as pool:
        list(pool.map(read, answers))


def _enough(answers: Sequence[_SpeakingAnswer]) -> bool:
    """Whether each made its patches after all of them had begun to speak."""
    if not all(answer.patch_times for answer in answers):
        return False
    all_speak = max(answer.patch_times[0] for answer in answers)
    return all(
        len(answer.patch_times) > PATCHES and answer.patch_times[-PATCHES] > all_speak
        for answer in answers
    )


def _piece_seconds(engine: Engine, positions: int) -> float:
    """Seconds that so many positions of sound take behind a prompt, without an output."""
    seconds = []
    with contextlib.closing(engine.new_cache()) as cache:
        cache.prefill(_text(engine, 0))
        for _ in range(_PIECES):
            cache.cut(PROMPT)
            piece = _sound(engine, positions)
            engine.caches.make_room(cache, positions)
            began = time.perf_counter()
            engine.caches.evaluate([New(cache, piece, outputs=0)])
            seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))


def _text(engine: Engine, number: int) -> Positions:
    ids = np.random.default_rng(number).integers(0, 256, PROMPT)
    return engine.layout.text(ids.tolist())


def _sound(engine: Engine, patches: int) -> Positions:
    """Patches of random codes."""
    config = engine.manifest.patch
    size = (patches, config.group_size, config.channels)
    codes = np.random.default_rng(0).integers(0, np.array(config.empty_ids), size)
    return engine.layout.audio(codes)
