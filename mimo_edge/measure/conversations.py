"""How fast several answers speak at once, in one process and in one process each.

Every figure comes from a fresh process, so that the memory of one is not that of all before.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from ..bundle.manifest import Manifest
from ..engine import Engine
from ..errors import DoesNotFitError, MimoEdgeError, NoMemoryError
from ..loading import follows_format
from ..stages.machine.gpu import gpu_layers
from ..stages.machine.measured import read_measured
from ..stages.machine.patch_place import patch_form
from ..stages.machine.runtime_options import RuntimeOptions
from ..system.memory import check_memory
from .speaking_at_once import (
    ARRIVING,
    PATCHES,
    PROMPT,
    Arrival,
    Spoken,
    measure_arrival,
    speak,
)
from .speech_cost import read_bytes_of_bundle, ways_of

__all__ = ["AtOnce", "Conversations", "Way", "check_counts", "measure_conversations"]

Way = Literal["together", "threads", "processes"]
"""Read in turn by one thread, by a thread for each answer, or in a process each."""
_MOST_RUNS = 3
_QUICK_S, _QUICK_FACTOR = 1.0, 7
"""Runs that take less than this many seconds differ more, and are done more often."""
_BESIDE = 5
"""Patches, rounded up, that an answer makes while the prompt of another one is evaluated."""


@dataclass(frozen=True, kw_only=True)
class AtOnce:
    """How fast so many answers speak at once; medians of all runs."""

    conversations: int
    way: Way
    patches: int
    """Patches that were made, in all runs."""
    patches_per_second: float
    """Of all answers together, while all speak."""
    ratio: float
    """That, over what one answer alone makes."""
    worst_gap: float
    """Seconds between two patches of one answer: the longest time of a run."""
    first_patch: float
    """Seconds from the request, which is made for all at once, to the first patch of the last."""
    bytes_per_patch: int | None
    """Weights and cache that are read for a patch; None with a GPU."""
    resident: int
    """Bytes in memory afterwards, of all processes, mapped weights among them in each."""


class Conversations(NamedTuple):
    """Answers at once, and a prompt that arrives beside one."""

    at_once: list[AtOnce]
    arrival: Arrival
    left_out: list[str]
    """Sentences that say what was not measured, and why."""


def check_counts(manifest: Manifest, options: RuntimeOptions, counts: Sequence[int]) -> None:
    """Refuse to measure so many answers at once, before any work is done.

    Raises:
        MimoEdgeError: the model does not speak, a number has no meaning, or the context is too
            short for this.
    """
    manifest.check_speaks()
    for count in counts:
        replace(options, conversations=count)
    context = options.context_for(manifest.backbone)
    needed = max(PROMPT + PATCHES + _BESIDE * max(counts), ARRIVING + 1)
    if context < needed:
        raise DoesNotFitError(
            f"a context of {context} positions is too short to measure {max(counts)} answers at "
            f"once; give at least {needed}, or fewer answers."
        )


def measure_conversations(
    folder: Path,
    manifest: Manifest,
    options: RuntimeOptions,
    counts: Sequence[int],
    runs: int,
    *,
    processes: bool = True,
) -> Conversations:
    """Measure one answer, then so many at once, all of them with the whole context.

    Args:
        folder: of the bundle.
        manifest: the bundle's.
        options: those of one conversation.
        counts: how many answers speak at once.
        runs: how often each is measured, at most three times where it takes long.
        processes: whether to compare with processes that load the model each.

    Raises:
        MimoEdgeError: the bundle does not load; see `check_counts` for the rest.
    """
    check_counts(manifest, options, counts)
    bench = _Bench(folder, manifest, options, runs)
    one, private = bench.speak(1, "together", None)
    at_once, left_out = [one], []
    for count in sorted({*counts} - {1}):
        at_once.append(bench.speak(count, "together", one)[0])
        at_once.append(bench.speak(count, "threads", one)[0])
        if processes:
            try:
                # Their mapped weights are the same pages.
                weights = sum(file.size for file in manifest.files)
                check_memory(f"{count} processes with this model", count * private + weights)
                at_once.append(bench.speak(count, "processes", one)[0])
            except NoMemoryError as error:
                left_out.append(f"{count} processes were not measured: {error}")
    return Conversations(at_once, bench.arrival(), left_out)


@dataclass(frozen=True)
class _Bench:
    """What is measured, and how often."""

    folder: Path
    manifest: Manifest
    options: RuntimeOptions
    runs: int

    def speak(self, count: int, way: Way, one: AtOnce | None) -> tuple[AtOnce, int]:
        """The answers' figures, and the bytes that a process has for itself."""
        alone = way == "processes"
        inside, processes = (1, count) if alone else (count, 1)
        runs: list[list[Spoken]] = []
        with self._started(processes, inside, way) as workers:
            first = _ask(workers)  # not counted: everything happens for the first time
            most = min(self.runs, _MOST_RUNS)
            if _seconds(first) < _QUICK_S:
                most *= _QUICK_FACTOR
            for _ in range(most):
                runs.append(_ask(workers))
        rate = float(np.median([_rate(run) for run in runs]))
        figures = AtOnce(
            conversations=count,
            way=way,
            patches=sum(len(times) for run in runs for times in _times(run)),
            patches_per_second=rate,
            ratio=1.0 if one is None else rate / one.patches_per_second,
            worst_gap=float(np.median([_worst_gap(run) for run in runs])),
            first_patch=float(np.median([_first_patch(run) for run in runs])),
            bytes_per_patch=self._bytes_per_patch(inside),
            resident=sum(spoken.resident for spoken in runs[-1]),
        )
        return figures, max(spoken.private for spoken in runs[-1])

    def arrival(self) -> Arrival:
        """The run with the median delay of several."""
        with self._started(1, 2, "arrival") as worker:
            _ask(worker)
            found: list[Arrival] = [_ask(worker)[0] for _ in range(_MOST_RUNS)]
        return sorted(found, key=lambda arrival: arrival.worst_gap)[len(found) // 2]

    def _bytes_per_patch(self, together: int) -> int | None:
        if gpu_layers(self.options):
            return None
        form = patch_form(self.manifest, self.options, read_measured(self.manifest))
        read = read_bytes_of_bundle(self.folder, self.manifest, form)
        skips_head = follows_format(self.manifest, self.options)
        ways = ways_of(self.options, skips_head=skips_head, manifest=self.manifest)
        cache = (PROMPT + PATCHES // 2) * together * read.cached_values * ways.cache_bytes
        step = read.blocks + cache + (0 if skips_head else read.head)
        return int(step + read.patch_decoder + read.patch_encoder) // together

    @contextlib.contextmanager
    def _started(self, processes: int, inside: int, what: str) -> Iterator[list[Connection]]:
        """Pipes to processes that have loaded the model; they end with the context."""
        context = self.options.context_for(self.manifest.backbone)
        options = replace(self.options, conversations=inside, cache_positions=inside * context)
        # Not forked: the threads of native libraries would be missing in the child.
        spawn = multiprocessing.get_context("spawn")
        with contextlib.ExitStack() as opened:
            pipes = []
            for _ in range(processes):
                pipe, far = spawn.Pipe()
                opened.callback(pipe.close)
                process = spawn.Process(
                    target=_work, args=(far, self.folder, options, what, inside), daemon=True
                )
                process.start()
                far.close()  # so that the pipe breaks when the process ends
                opened.callback(process.join)
                opened.callback(process.terminate)
                pipes.append(pipe)
            for pipe in pipes:
                _receive(pipe)
            yield pipes


class _Fault(NamedTuple):
    """Why a process cannot go on."""

    sentence: str
    for_want_of_memory: bool


def _work(pipe: Connection, folder: Path, options: RuntimeOptions, what: str, count: int) -> None:
    """The work of a process: load the model, then measure whenever it is asked to."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, which ends this one
    try:
        engine = Engine.load(folder, options)
        pipe.send(None)
        with contextlib.suppress(EOFError, BrokenPipeError):  # the parent is gone
            while pipe.recv():
                if what == "arrival":
                    pipe.send(measure_arrival(engine))
                else:
                    pipe.send(speak(engine, count, threads=what == "threads"))
    except MimoEdgeError as error:
        pipe.send(_Fault(str(error), isinstance(error, NoMemoryError)))


def _ask(workers: Sequence[Connection]) -> list[Any]:
    """What the processes measure, all at the same time."""
    for worker in workers:
        worker.send(True)
    return [_receive(worker) for worker in workers]


def _receive(pipe: Connection) -> Any:
    try:
        found = pipe.recv()
    except EOFError:
        # What ends a process without a word is the system, when there is no memory.
        raise NoMemoryError(
            "a process that measured was ended by the system; close other programs, or measure "
            "fewer answers."
        ) from None
    if isinstance(found, _Fault):
        kind = NoMemoryError if found.for_want_of_memory else MimoEdgeError
        raise kind(found.sentence)
    return found


def _times(run: Sequence[Spoken]) -> list[list[float]]:
    """When each answer of all processes made its patches."""
    return [times for spoken in run for times in spoken.patch_times]


def _rate(run: Sequence[Spoken]) -> float:
    """Patches per second from when all answers speak until the first one stops."""
    times = _times(run)
    start, end = max(each[0] for each in times), min(each[-1] for each in times)
    if start >= end:  # processes need not keep step: then all their time counts
        start, end = min(each[0] for each in times), max(each[-1] for each in times)
    return sum(start < time <= end for each in times for time in each) / (end - start)


def _worst_gap(run: Sequence[Spoken]) -> float:
    return max(float(np.diff(each).max()) for each in _times(run))


def _first_patch(run: Sequence[Spoken]) -> float:
    return max(each[0] for each in _times(run)) - min(spoken.began for spoken in run)


def _seconds(run: Sequence[Spoken]) -> float:
    return max(each[-1] for each in _times(run)) - min(spoken.began for spoken in run)
