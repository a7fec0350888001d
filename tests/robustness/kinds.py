"""The table of all kinds, and the mutants they make."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from .archives import foreign_codes, foreign_session
from .bundles import foreign_gguf, foreign_graph, foreign_manifest, foreign_matrix, noticed
from .checkpoints import foreign_config, foreign_tokenizer, foreign_weights
from .forks import Forks, Outcome
from .mutant import Kind, Mutant, World
from .recordings import foreign_recording
from .texts import foreign_option, foreign_text
from .verdict import faults, snapshot

__all__ = ["KINDS", "Run", "make", "run"]

KINDS: Mapping[str, Kind] = {
    "bundle": noticed,
    "manifest": foreign_manifest,
    "gguf": foreign_gguf,
    "onnx": foreign_graph,
    "npy": foreign_matrix,
    "checkpoint": foreign_weights,
    "config": foreign_config,
    "tokenizer": foreign_tokenizer,
    "recording": foreign_recording,
    "session": foreign_session,
    "codes": foreign_codes,
    "text": foreign_text,
    "option": foreign_option,
}

_TRIES = 3


@dataclass(frozen=True, kw_only=True)
class Run:
    """A mutant that was run."""

    mutant: Mutant
    outcome: Outcome
    faults: list[str]


def make(kind: str, seed: int, folder: Path, world: World) -> Mutant:
    """The mutant of a seed; its files go into `folder`, which is made."""
    folder.mkdir(parents=True)
    return KINDS[kind](Random(f"{kind} {seed}"), folder, world)


def run(forks: Forks, kind: str, seed: int, folder: Path, world: World) -> Run:
    """Make a mutant in `folder`, run its command and judge what came of it.

    A machine with much to do may leave a process waiting for a minute: what hangs, hangs again.
    """
    for _ in range(_TRIES):
        mutant = make(kind, seed, folder, world)
        before = snapshot(folder)
        outcome = forks.run(mutant.arguments, folder, stdin=mutant.stdin)
        after = snapshot(folder)
        shutil.rmtree(folder)
        if outcome.status != -signal.SIGALRM:
            break
    found = faults(outcome, before, after, may_make=mutant.may_make, usage=mutant.usage)
    return Run(mutant=mutant, outcome=outcome, faults=found)
