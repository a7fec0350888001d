"""What the runtime's tests share: a loaded model and the command line in this process."""

from __future__ import annotations

import io
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mimo_edge.commands.cli import main
from mimo_edge.model import MimoAudio
from mimo_edge.stages.runtime_options import RuntimeOptions

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


@pytest.fixture
def command(
    default_bundle: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """`mimo-edge ARGS` in this process, on the default bundle unless --model is given.

    `capfd`, so that what native libraries print is seen too.
    """
    monkeypatch.setenv("MIMO_EDGE_MODEL", str(default_bundle))
    numbers = [signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)]
    before = {number: signal.getsignal(number) for number in numbers}

    def run(*arguments: object, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        capfd.readouterr()
        with pytest.raises(SystemExit) as exited:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        code = exited.value.code
        return Result(code if isinstance(code, int) else 0, out, err)

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def model(default_bundle: Path) -> Iterator[MimoAudio]:
    """The default bundle with room for a few turns."""
    options = RuntimeOptions(threads=1, context=1024, device="cpu")
    with MimoAudio.load(default_bundle, options) as model:
        yield model


@pytest.fixture(scope="session")
def clips() -> dict[str, Path]:
    """The tests' recordings by name: question, short, tiny, voice."""
    folder = Path(__file__).parent.parent / "data" / "golden" / "audio"
    return {path.stem: path for path in folder.glob("*.wav")}
