"""Make one mutant, run it and say what came of it: `KIND SEED FOLDER`; the folder stays."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from tests.conftest import DEFAULT_GOLDEN
from tests.tools.bundles import convert_checkpoint

from .forks import Forks
from .kinds import make
from .verdict import faults, snapshot
from .worlds import make_world


def main(kind: str, seed: int, folder: Path) -> None:
    """See the module."""
    folder = folder.absolute()
    checkpoint = DEFAULT_GOLDEN / "checkpoint"
    models = (checkpoint / "MiMo-Audio-7B-Instruct", checkpoint / "MiMo-Audio-Tokenizer")
    bundle = folder / "sound" / "bundle"
    if not bundle.exists():
        convert_checkpoint(*models, bundle, "default")
    world = make_world(bundle, DEFAULT_GOLDEN, folder / "sound")
    work = folder / f"{kind}-{seed}"
    mutant = make(kind, seed, work, world)
    before = snapshot(work)
    with Forks() as forks:
        outcome = forks.run(mutant.arguments, work, stdin=mutant.stdin)
    after = snapshot(work)
    found = faults(outcome, before, after, may_make=mutant.may_make, usage=mutant.usage)
    command = f"cd {work}; mimo-edge {shlex.join(mutant.arguments)}"
    sys.stdout.write(f"{mutant.what}\n{command}\n{outcome.describe()}\n{found}\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
