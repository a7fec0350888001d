"""From a wheelhouse to a spoken answer, on a machine without compiler, network and anything else.

`make wheelhouse` builds llama.cpp for minutes and downloads the rest. Here llama.cpp is the one
that `make portable` or `make wheelhouse` left in the cache, else what is installed. The other
wheels are made of what is installed, where the bare machine has the same version of Python.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from convert.sharing.packing import pack
from deploy.llama_builds import kept_wheel
from deploy.wheelhouse import EXTRAS, portable_build
from tests.convert.bundle_folders import DEMO
from tests.deploy.bare_machines import BareMachine, bare_debian
from tests.tools.installed_wheel import wheel_of_installed, wheels_of_needs
from tests.tools.words import nearly

ROOT = Path(__file__).parents[2]
QUESTION = ROOT / "tests" / "data" / "demo" / "sum.flac"
STICK = "a stick ü"
ANSWER = "seven plus five is twelve"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="needs Linux' namespaces"),
]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[BareMachine]:
    folder = tmp_path / "machine"
    folder.mkdir()
    machine = BareMachine(bare_debian(), folder)
    done = machine.run("sh", "-c", "exit 0")
    if done.returncode:
        pytest.skip(f"namespaces are not to be had here: {done.stderr.strip()}")
    yield machine
    machine.close()


@pytest.fixture
def wheelhouse(machine: BareMachine, tmp_path: Path) -> Path:
    out = tmp_path / "wheelhouse"
    out.mkdir()
    version = machine.python_version()
    kept = kept_wheel(portable_build(without_amx=False))
    kept = kept or kept_wheel(portable_build(without_amx=True))
    if version == "{}.{}".format(*sys.version_info):
        wheels_of_needs("mimo-edge", EXTRAS.split(","), out)
        wheel_of_installed("pip", out)
        if kept:
            (installed,) = out.glob("llama_cpp_python-*.whl")
            installed.unlink()
            shutil.copy(kept, out)
        command = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(ROOT)]
    else:
        llama = kept or wheel_of_installed("llama-cpp-python", tmp_path)
        command = ["-m", "deploy.wheelhouse", "--out", str(out), "--llama", str(llama)]
        command += ["--pythons", version]
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    if done.returncode and ("Connection" in done.stderr or "resolution" in done.stderr):
        pytest.skip("no network to download wheels over")
    assert done.returncode == 0, done.stderr
    return out


def test_a_bare_machine_answers_in_speech(machine: BareMachine, wheelhouse: Path) -> None:
    pack(DEMO, [wheelhouse], machine.inside / STICK)
    shutil.copy(QUESTION, machine.inside / "question.flac")
    compilers = machine.run(
        "sh", "-c", "for c in cc gcc g++ c++ clang cmake ninja make; do command -v $c; done"
    )
    assert compilers.stdout == ""
    connect = "import socket; socket.create_connection(('1.1.1.1', 443), timeout=5)"
    assert "unreachable" in machine.run("python3", "-c", connect).stderr

    talk = ("sh", f"{STICK}/start.sh", "--input", "question.flac", "--output", "answers")
    done = machine.run(*talk, "--seed", "1", "--transcribe", "--json")
    assert done.returncode == 0, done.stderr
    turn = json.loads(done.stdout)
    assert nearly(turn["question"], "what is seven plus five") and nearly(turn["text"], ANSWER)
    # What llama.cpp says of its libraries is nobody's business.
    assert all(line.startswith("mimo-edge: installing") for line in done.stderr.splitlines())

    heard = machine.run("sh", f"{STICK}/start.sh", "transcribe", "answers/answer-1.wav")
    assert nearly(heard.stdout, ANSWER, share=0.8), heard.stderr
    verified = machine.run("sh", f"{STICK}/start.sh", "verify")
    assert verified.returncode == 0 and "files are whole" in verified.stdout
