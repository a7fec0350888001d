"""Who writes a file is alone at it, however many want to at the same moment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mimo_edge.errors import OutputError
from mimo_edge.one_writer import lock_beside, only_writer

_PROGRAM = """
import os, sys
from pathlib import Path
from mimo_edge.errors import OutputError
from mimo_edge.one_writer import lock_beside, only_writer

path, alone = Path(sys.argv[1]), 0
inside = path.with_name("inside")
for _ in range(1500):
    try:
        with only_writer(lock_beside(path), "no"):
            os.close(os.open(inside, os.O_CREAT | os.O_EXCL))  # FileExistsError: another is here
            inside.unlink()
            alone += 1
    except OutputError:
        pass
print(alone)
"""
"""Wants to write again and again, and fails if it was not the only one that was let in."""


def test_nobody_is_let_in_while_another_one_leaves(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _PROGRAM, str(tmp_path / "results")]
    programs = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for program in programs:
        alone, complaint = program.communicate(timeout=240)
        assert program.returncode == 0, complaint
        assert int(alone) > 0


def test_a_second_writer_is_told_so_and_the_lock_is_gone_afterwards(tmp_path: Path) -> None:
    lock = lock_beside(tmp_path / "results")
    with only_writer(lock, "wait."):
        with pytest.raises(OutputError, match="wait"), only_writer(lock, "wait."):
            pass
        assert lock.exists()
    assert not lock.exists()
