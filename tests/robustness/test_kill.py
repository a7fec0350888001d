"""Programs killed (-9) at any moment lose nothing that was finished, and the next run works."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest
import soundfile

from mimo_edge.dialogue.recording import TRACKS, TRANSCRIPT, Recording

from .forks import Forks, Outcome
from .mutant import QUICK, World
from .verdict import snapshot

pytestmark = pytest.mark.slow

KILLS = 30
"""Of each program."""
KILLED = -9
PIECE = 480
"""Samples that `record` writes to each side with every line of the transcript."""
RATE = 24_000


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks() as forks:
        yield forks


def well(forks: Forks, arguments: Sequence[str], folder: Path) -> Outcome:
    """A run that is not killed has to work."""
    outcome = forks.run(arguments, folder)
    assert outcome.status == 0, outcome.describe()
    return outcome


def killed_at_any_moment(
    forks: Forks, arguments: Sequence[str], folder: Path, count: int = KILLS
) -> Iterator[None]:
    """Start that command again and again until it was killed `count` times, and stop after each.

    The moments lie all over the time that it takes. That time is looked at again whenever a run
    was faster than its death: a machine with other work may be ten times slower at first.
    """
    rng = Random(repr(arguments))
    began = time.monotonic()
    well(forks, arguments, folder)
    seconds, killed = time.monotonic() - began, 0
    yield
    while killed < count:
        began = time.monotonic()
        outcome = forks.run(arguments, folder, kill_after=rng.uniform(0, 1.1 * seconds))
        if outcome.status == KILLED:
            killed += 1
        else:
            seconds = time.monotonic() - began
        yield


@pytest.mark.parametrize("existing", [False, True], ids=["new", "over a bundle"])
def test_convert(forks: Forks, world: World, tmp_path: Path, existing: bool) -> None:
    out = tmp_path / "out"
    checkpoints = ("--model", str(world.model), "--tokenizer", str(world.tokenizer))
    arguments: tuple[str, ...] = ("convert", *checkpoints, "--out", "out", "--threads", "1")
    if existing:
        arguments += ("--force",)
    well(forks, (*arguments, "--force"), tmp_path)
    names = {path.name for path in out.iterdir()}
    if not existing:
        shutil.rmtree(out)
    for _ in killed_at_any_moment(forks, arguments, tmp_path, KILLS // 2):
        if existing or (out / "manifest.json").exists():
            well(forks, ("info", "out", "--verify"), tmp_path)
        if not existing and (out / "manifest.json").exists():
            shutil.rmtree(out)
    well(forks, (*arguments, "--force"), tmp_path)
    well(forks, ("info", "out", "--verify"), tmp_path)
    assert {path.name for path in out.iterdir()} == names
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_save_session(forks: Forks, world: World, tmp_path: Path) -> None:
    session = tmp_path / "session.npz"
    before = world.session.read_bytes()
    session.write_bytes(before)
    on = ("--model", str(world.bundle), *QUICK, "--text-only", "--input", str(world.clip))
    again = ("chat", "--load-session", "session.npz", *on)
    arguments = (*again, "--save-session", "session.npz")
    for _ in killed_at_any_moment(forks, arguments, tmp_path):
        if session.read_bytes() != before:
            well(forks, again, tmp_path)
        session.write_bytes(before)
    well(forks, again, tmp_path)


def record(arguments: Sequence[str]) -> None:
    """Record until killed; a line of standard output for each line that is in the transcript."""
    folder = Path(arguments[0])
    with Recording(folder, RATE) as recording:
        for number in range(1, 100_000):
            for side in TRACKS:
                recording.write(side, np.full(PIECE, 0.5, np.float32))
            recording.note({"number": number})
            while (folder / TRANSCRIPT).read_bytes().count(b"\n") < number:
                time.sleep(0.001)
            os.write(1, b"\n")


def test_record(forks: Forks, tmp_path: Path) -> None:
    rng = Random("record")
    told = 0
    for number in range(KILLS):
        folder = tmp_path / str(number)
        outcome = forks.run(
            [str(folder)],
            tmp_path,
            program="tests.robustness.test_kill:record",
            kill_after=rng.uniform(0, 0.5),
        )
        assert outcome.status == KILLED and not outcome.err, outcome.describe()
        lines = outcome.out.count("\n")
        told += lines
        if not folder.exists():
            continue
        transcript = folder / TRANSCRIPT
        assert lines <= (transcript.read_bytes().count(b"\n") if transcript.exists() else 0)
        for name in filter(lambda name: lines, TRACKS.values()):
            samples, rate = soundfile.read(folder / name)
            assert rate == RATE and len(samples) >= lines * PIECE
            np.testing.assert_allclose(samples, 0.5, atol=1e-3)
        assert {name.split("/")[0] for name in snapshot(folder)} <= {*TRACKS.values(), TRANSCRIPT}
    assert told > KILLS
