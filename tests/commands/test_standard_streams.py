"""Standard streams that are closed, full, in a code page or gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from tests.tools.command_line import QUICK, Command

ROOT = Path(__file__).parents[2]
RUN = f"{sys.executable} -m mimo_edge"
FULL = Path("/dev/full")

posix = pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")


Shell = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def shell(default_bundle: Path, clips: dict[str, Path], tmp_path: Path) -> Shell:
    """A command line of a shell, in an empty folder: `mimo` is the program, `$CLIP` a recording."""

    def run(line: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["sh", "-c", f'mimo() {{ {RUN} "$@"; }}\n{line}'],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "MIMO_EDGE_MODEL": str(default_bundle),
                "CLIP": str(clips["short"]),
                "QUICK": " ".join(QUICK),
                **variables,
            },
            capture_output=True,
            timeout=120,
        )

    return run


def sentence(done: subprocess.CompletedProcess[bytes]) -> str:
    """The last line on standard error; asserts that there is no traceback."""
    lines = done.stderr.decode(errors="replace").splitlines()
    assert lines and lines[-1].startswith("mimo-edge: "), lines
    assert not any("Traceback" in line or "Exception" in line for line in lines), lines
    return lines[-1]


@posix
@pytest.mark.parametrize(
    "arguments",
    [
        "text Hello. $QUICK",
        "text Hello. --json $QUICK",
        "transcribe $CLIP $CLIP $QUICK",
        "chat --input $CLIP --output out $QUICK",
        "info",
        "--help",
    ],
)
def test_results_that_cannot_be_printed(shell: Shell, arguments: str) -> None:
    """One sentence, and an exit status that a script notices."""
    redirections = {">&-": "Bad file descriptor"}
    if FULL.exists():
        redirections[">/dev/full"] = "No space left on device"
    for redirection, reason in redirections.items():
        done = shell(f"mimo {arguments} {redirection}")
        assert done.returncode == 1 and not done.stdout
        assert f"standard output cannot be written ({reason})" in sentence(done)
        assert done.stderr.count(b"mimo-edge: ") == 1


@posix
def test_the_file_is_there_when_only_printing_failed(shell: Shell, tmp_path: Path) -> None:
    done = shell("mimo speak Hello. -o a.wav $QUICK --max-new-tokens 40 >&-")
    assert done.returncode == 1 and b"a.wav: " in done.stderr
    assert soundfile.info(tmp_path / "a.wav").frames > 0
    done = shell("mimo encode $CLIP -o a.npz >&- 2>&- <&-")
    assert done.returncode == 0  # nothing was to be printed on standard output
    done = shell("mimo decode a.npz -o b.wav >&- 2>&- <&-")
    assert done.returncode == 0 and soundfile.info(tmp_path / "b.wav").frames == 37 * 960


@posix
def test_notes_that_cannot_be_printed(shell: Shell) -> None:
    plain = shell("mimo text Hello. -v $QUICK 2>/dev/null")
    assert plain.returncode == 0 and plain.stdout
    for redirection in ("2>&-", "2>/dev/full") if FULL.exists() else ("2>&-",):
        done = shell(f"mimo text Hello. -vv $QUICK {redirection}")
        assert (done.returncode, done.stdout) == (0, plain.stdout)
        assert shell(f"mimo text Hello. --top-p 5 {redirection}").returncode == 1


@posix
def test_a_closed_standard_input(shell: Shell) -> None:
    """It matters to those alone who read it."""
    assert shell("mimo text Hello. $QUICK <&-").returncode == 0
    for arguments in ("text", "speak - -o a.wav"):
        done = shell(f"mimo {arguments} <&-")
        assert done.returncode == 1 and "standard input" in sentence(done)


@posix
@pytest.mark.parametrize("encoding", ["cp1252", "koi8-r"])
def test_a_console_that_lacks_characters(shell: Shell, encoding: str) -> None:
    """Random weights under a high temperature say anything."""
    line = "mimo text Hello. --threads 1 --temperature 1e6 --seed 3 --max-new-tokens 60"
    done = shell(line, PYTHONIOENCODING=encoding)
    assert done.returncode == 0 and b"?" in done.stdout, done.stderr
    whole = json.loads(shell(f"{line} --json").stdout)["text"]
    assert not whole.isascii()
    # JSON has escapes, so that nothing has to be replaced.
    assert json.loads(shell(f"{line} --json", PYTHONIOENCODING=encoding).stdout)["text"] == whole
    done = shell("mimo info 听听 --verify", PYTHONIOENCODING=encoding)
    assert done.returncode == 1 and "is not a folder" in sentence(done)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_text_with_a_byte_order_mark(command: Command, encoding: str) -> None:
    """The mark is no text, and says how the rest is encoded; a pipe of Windows has one."""
    text = "Grüß Gott.\r\n\r\n听\r\n"
    typed = command("text", *QUICK, stdin=text.encode(encoding))
    given = command("text", "Grüß Gott.", "听", *QUICK)
    assert typed.status == 0 and typed.out == given.out


def test_a_byte_order_mark_is_not_spoken(command: Command, tmp_path: Path) -> None:
    plain, marked = tmp_path / "plain.wav", tmp_path / "marked.wav"
    for path, encoding in ((plain, "utf-8"), (marked, "utf-8-sig")):
        result = command(
            *("speak", "-", "-o", path, *QUICK, "--max-new-tokens", 40),
            stdin="Hello there.\n".encode(encoding),
        )
        assert result.status == 0, result.err
    assert plain.read_bytes() == marked.read_bytes()


@pytest.mark.parametrize("data", [b"caf\xe9\n", b"good\ncaf\xe9\n", b"\0\1\2", b"\xff\xfe\0"])
def test_what_is_no_text(command: Command, tmp_path: Path, data: bytes) -> None:
    out = tmp_path / "a.wav"
    assert "standard input is no text" in command("speak", "-", "-o", out, stdin=data).sentence
    result = command("text", *QUICK, stdin=data)
    assert result.status == 1 and "standard input is no text" in result.err.splitlines()[-1]
    assert bool(result.out) == data.startswith(b"good")
    assert not out.exists()


@posix
def test_a_declared_encoding_of_standard_input(shell: Shell) -> None:
    """Who says that it is Latin-1 is believed."""
    done = shell(r"printf 'caf\351' | mimo text $QUICK", PYTHONIOENCODING="latin-1")
    given = shell("mimo text café $QUICK", PYTHONIOENCODING="latin-1")
    assert done.returncode == 0 and done.stdout and done.stdout == given.stdout


def test_arguments_that_are_no_text(
    command: Command, clips: dict[str, Path], tmp_path: Path
) -> None:
    """Every text a person may give, before the model is loaded."""
    bad, clip, out = "caf\udce9", clips["short"], ("-o", tmp_path / "a.wav")
    for arguments in (
        ("speak", bad, *out),
        ("speak", "Hello.", "--style", bad, *out),
        ("few-shot", clip, "--instruction", bad, "--example", clip, clip, "Hi.", *out),
        ("few-shot", clip, "--instruction", "Do.", "--example", clip, clip, bad, *out),
        ("text", "Hello.", bad),
        ("text", "Hello.", "--system", bad),
        ("ask", clip, bad),
        ("transcribe", clip, "--instruction", bad),
        ("chat", "--input", clip, "--system", bad),
    ):
        result = command(*arguments, "--model", "missing")
        assert r"caf\udce9" in result.sentence, arguments
        assert "missing" not in result.sentence, arguments


@posix
def test_a_pipe_that_another_program_made_non_blocking(tmp_path: Path) -> None:
    """What does not fit waits for the reader."""
    script = (
        "import os; from mimo_edge.commands import standard_streams; os.set_blocking(1, False)\n"
        "standard_streams.prepare(); print('x' * 1_000_000)"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE) as late:
        time.sleep(1)
        assert late.stdout is not None and len(late.stdout.read()) == 1_000_001
    assert late.returncode == 0


@posix
def test_files_that_are_opened_do_not_become_a_closed_stream(shell: Shell, tmp_path: Path) -> None:
    """Otherwise a file would get the number 1, and what native code prints."""
    script = (
        "import os; from mimo_edge.commands import standard_streams; standard_streams.prepare()\n"
        "file = open('a', 'wb'); os._exit(file.fileno())"
    )
    done = shell(f'{sys.executable} -c "{script}" <&- >&- 2>&-')
    assert done.returncode > 2


@posix
@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full")
def test_a_thread_that_draws(shell: Shell) -> None:
    """It does not end in a traceback, and the program still learns that its output is lost."""
    script = """
import sys, threading, click
from mimo_edge.commands.program import run_command
@click.command()
def command():
    thread = threading.Thread(target=lambda: print("drawn", flush=True))
    thread.start()
    thread.join()
    click.echo("saved", err=True)
    click.echo("result")
    click.echo("never", err=True)
run_command(command)
"""
    done = shell(f"{sys.executable} -c '{script}' >/dev/full")
    assert done.returncode == 1 and "No space left" in sentence(done)
    assert done.stderr.decode().splitlines()[:-1] == ["saved"]
