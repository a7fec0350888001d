"""The runtime needs neither the network nor the packages that only conversion uses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FORBID = """
import asyncio, socket, sys  # asyncio first: a class of its own derives from a socket's

class Forbidden:
    names = {"onnx", "onnx_ir", "safetensors", "torch", "huggingface_hub", "ml_dtypes"}
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

def no_network(*args, **kwargs):
    raise AssertionError("the network was used")

sys.meta_path.insert(0, Forbidden())
for name in ("socket", "create_connection", "getaddrinfo"):
    setattr(socket, name, no_network)
"""

EVERYTHING = """
import sys
from pathlib import Path
from mimo_edge.stages.machine.runtime_options import RuntimeOptions
from mimo_edge.model import MimoAudio
from mimo_edge.tasks import Overrides

bundle, clip = sys.argv[1:]
short = Overrides(max_new_tokens=12, seed=1)
with MimoAudio.load(bundle, RuntimeOptions(threads=1, context=512)) as model:
    assert model.transcribe(clip, overrides=short).stats.text_tokens
    assert model.speak("Hello there.", overrides=short).audio is not None
    with model.session(overrides=short) as session:
        session.ask(clip)
        assert session.ask(clip).stats.cached_positions
    assert len(model.decode(model.encode(clip))) == 37 * 960
loaded = {name.split(".")[0] for name in sys.modules}
assert not loaded & {"convert", "requests", "urllib3", "httpx"}, loaded
print("all of it works")
"""


def python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A process in which the forbidden packages cannot be imported."""
    command = [sys.executable, "-c", FORBID + code, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_every_task_runs(default_bundle: Path, clips: dict[str, Path]) -> None:
    done = python(EVERYTHING, default_bundle, clips["short"])
    assert done.returncode == 0, done.stderr
    assert done.stdout == "all of it works\n"


COMMANDS = "from mimo_edge.commands.cli import main; main(sys.argv[1:])"
CONVERT = "import runpy; runpy.run_module('convert', run_name='__main__')"


def test_commands_run(default_bundle: Path, clips: dict[str, Path]) -> None:
    done = python(COMMANDS, "info", default_bundle)
    assert done.returncode == 0 and "backbone.gguf" in done.stdout, done.stderr
    options = ("--model", default_bundle, "--threads", 1, "--max-new-tokens", 5)
    done = python(COMMANDS, "chat", "--input", clips["short"], *options)
    assert done.returncode == 0, done.stderr
    assert python(COMMANDS, "--help").returncode == 0


@pytest.mark.parametrize("arguments", [(), ("--help",), ("--model", "a", "--out", "b")])
@pytest.mark.parametrize("code", [COMMANDS, CONVERT])
def test_convert_says_what_to_install(code: str, arguments: tuple[str, ...]) -> None:
    command = ("convert",) if code == COMMANDS else ()
    done = python(code, *command, *arguments)
    assert done.returncode == 1 and not done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("mimo-edge: converting needs the package ")
    assert "pip install 'mimo-edge[convert]'" in line


def test_the_runtime_imports_no_converter() -> None:
    """Not even where it could: `convert` is not part of an installed runtime's way."""
    code = "import mimo_edge.commands.cli, mimo_edge.model; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", "import sys; " + code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert not loaded & {"convert", "onnx", "onnx_ir", "safetensors", "torch", "huggingface_hub"}
