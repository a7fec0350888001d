"""The command line in the tests' process: what a command leaves, and options of a short answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

QUICK = ("--threads", "1", "--max-new-tokens", "12", "--seed", "1")
"""Options of a short answer that is always the same."""


@dataclass(frozen=True)
class Result:
    """What a command left."""

    status: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one line of a command that failed; asserts that there is nothing else."""
        assert self.status == 1, (self.status, self.err)
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("mimo-edge: "), self.err
        return lines[0]


Command = Callable[..., Result]
