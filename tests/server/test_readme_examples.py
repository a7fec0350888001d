"""The README's examples for clients of the server, as written, with the demo model."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import soundfile

from .clients.test_published_clients import INSTALLED
from .running import Running

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SECTION = README[README.index("## A server, and a page") : README.index("## Install and convert")]
ADDRESS = "127.0.0.1:8000"


def example(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", SECTION, flags=re.DOTALL)
    return str(found)


def here(server: Running, text: str) -> str:
    """With the address of the running server."""
    assert ADDRESS in text
    return text.replace(ADDRESS, server.url.split("//")[1])


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the recordings that the examples name."""
    shutil.copytree(ROOT / "tests" / "data" / "demo", tmp_path / "tests" / "data" / "demo")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_python(server: Running, checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(here(server, example("py")), "README.md", "exec"), {})
    assert capsys.readouterr().out == "what is seven plus five\n"
    assert soundfile.info(checkout / "twelve.mp3").duration > 1


def test_curl(server: Running, checkout: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    commands = [line for line in SECTION.splitlines() if line.startswith("curl ")]
    assert len(commands) == 2
    out = ""
    for command in commands:
        run = shlex.split(here(server, command))
        done = subprocess.run([*run, "-sS"], capture_output=True, text=True, timeout=60, check=True)
        out += done.stdout
    assert out.splitlines()[2] == "what is seven plus five"
    assert soundfile.info(checkout / "echo.wav").samplerate == 24_000


@pytest.mark.slow
def test_javascript(server: Running) -> None:
    if shutil.which("node") is None or not (INSTALLED / "node_modules").exists():
        pytest.skip("OpenAI Agents for JavaScript is not installed; `make clients` does that")
    program = INSTALLED / "readme.mjs"
    # What the example leaves to its reader.
    rest = "\nfunction play() {}\nconsole.log(transport.status);\nsession.close();\n"
    program.write_text(here(server, example("js")) + rest, encoding="utf-8")
    done = subprocess.run(
        ["node", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == "connected", done.stderr
