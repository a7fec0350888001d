"""Mutants of every kind end in success or in one sentence, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue

import pytest

from .forks import Forks
from .kinds import KINDS, Run, run
from .mutant import World
from .verdict import snapshot

FAST, ALL = 30, 200
WORKERS = 2
SHOWN = 20
"""Mutants that a failing test describes."""


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Forks]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Forks()) for _ in range(WORKERS)]


def run_all(
    servers: Sequence[Forks], kind: str, seeds: Sequence[int], folder: Path, world: World
) -> list[Run]:
    """Run the mutants of many seeds, as many at once as there are servers."""
    free: SimpleQueue[Forks] = SimpleQueue()
    for server in servers:
        free.put(server)

    def one(seed: int) -> Run:
        server = free.get()
        try:
            return run(server, kind, seed, folder / str(seed), world)
        finally:
            free.put(server)

    with ThreadPoolExecutor(len(servers)) as pool:
        return list(pool.map(one, seeds))


def check(kind: str, seeds: Sequence[int], runs: Sequence[Run]) -> None:
    """No mutant has a fault, and they are no vacuous ones."""
    bad = [
        f"{kind} {seed}: {', '.join(found.faults)}\n  {found.mutant.what}\n"
        f"  {' '.join(found.mutant.arguments)[:300]!r}\n  {found.outcome.describe()}"
        for seed, found in zip(seeds, runs, strict=True)
        if found.faults
    ]
    assert not bad, f"{len(bad)} of {len(runs)} mutants:\n" + "\n".join(bad[:SHOWN])
    different = len({found.mutant.content for found in runs})
    assert different > 0.8 * len(runs), f"only {different} of {len(runs)} {kind}s differ"
    refused = sum(found.outcome.status != 0 for found in runs)
    least = len(runs) // 25
    assert least < refused < len(runs) - least, f"{refused} of {len(runs)} {kind}s were refused"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "seeds", [range(FAST), pytest.param(range(FAST, ALL), marks=pytest.mark.slow)], ids=str
)
def test_mutants(
    kind: str, seeds: range, servers: list[Forks], world: World, tmp_path: Path
) -> None:
    sources = {world.bundle, world.model, world.tokenizer, world.clip.parent, world.codes.parent}
    before = [snapshot(source) for source in sources]
    runs = run_all(servers, kind, seeds, tmp_path, world)
    check(kind, seeds, runs)
    assert [snapshot(source) for source in sources] == before
