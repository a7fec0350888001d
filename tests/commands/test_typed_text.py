"""`mimo-edge text` on a terminal: a prompt for each line, and words that end the conversation."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.command_line import QUICK
from tests.tools.signals import hear_ctrl_c

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pty")


def typed(
    bundle: Path,
    *lines: bytes | signal.Signals,
    out: Path | None = None,
    options: tuple[str, ...] = (),
) -> tuple[int, str]:
    """(exit status, what is shown) when one of `lines` is typed at each prompt."""
    import pty

    ours, theirs = pty.openpty()
    stdout = theirs if out is None else out.open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "mimo_edge", "text", *QUICK, *options],
        stdin=theirs,
        stdout=stdout,
        stderr=theirs,
        cwd=ROOT,
        env={**os.environ, "MIMO_EDGE_MODEL": str(bundle), "TERM": "dumb"},
        preexec_fn=hear_ctrl_c,
    )
    os.close(theirs)
    shown, waiting, after = b"", [*lines], 0
    last: bytes | signal.Signals = b""
    quiet = 0
    while True:
        if not select.select([ours], [], [], 5)[0]:
            quiet += 1
            assert quiet < 60, shown
            # A signal that comes just before readline begins to wait is noticed with the next key,
            # or with the next signal: whoever sees nothing happen presses Ctrl-C once more.
            if isinstance(last, signal.Signals) and quiet % 2 == 1:
                process.send_signal(last)
            continue
        try:
            piece = os.read(ours, 4096)
        except OSError:  # the other side is closed: Linux says EIO
            piece = b""
        if not piece:
            break
        shown += piece
        if waiting and b"> " in shown[after:]:
            after = len(shown)
            last = line = waiting.pop(0)
            if isinstance(line, bytes):
                os.write(ours, line)
            else:
                process.send_signal(line)
    os.close(ours)
    assert not waiting, shown
    return process.wait(timeout=60), shown.decode(errors="replace").replace("\r\n", "\n")


@pytest.mark.parametrize("end", [b"/exit\n", b"/quit\n", b"\x04"])
def test_a_prompt_and_three_ways_to_end(default_bundle: Path, end: bytes) -> None:
    status, shown = typed(default_bundle, b"Hello.\n", b"/help\n", b"\n", b"/bye\n", end)
    assert status == 0 and "Traceback" not in shown
    assert shown.count("/exit, /quit or Ctrl-D") == 3  # at the start, for /help, for /bye
    assert shown.count("\n> ") >= 4 and "there is no /bye" in shown


def test_a_line_that_fails_does_not_end_it(default_bundle: Path) -> None:
    lines = (b"Hello " * 200 + b"\n", b"Hello.\n", b"/exit\n")
    status, shown = typed(default_bundle, *lines, options=("--ctx", "64"))
    assert status == 0 and shown.count("do not fit the context") == 1
    assert shown.count("\n> ") == 3


def test_ctrl_c_ends_it_on_a_line_of_its_own(default_bundle: Path) -> None:
    status, shown = typed(default_bundle, signal.SIGINT)
    assert status == 130 and shown.splitlines()[-1] == "mimo-edge: interrupted"


def test_only_answers_go_to_a_file(default_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.txt"
    status, shown = typed(default_bundle, b"Hello.\n", b"/exit\n", out=out)
    assert status == 0 and shown.count("> ") == 2
    answer = out.read_bytes().decode(errors="replace")  # of a random model, in a line or more
    assert answer.endswith("\n") and answer.strip()
    assert not answer.startswith("> ") and "/exit" not in answer
