"""From a wheelhouse to a spoken answer, on a machine without compiler, network and anything else.

That machine is a namespace of this one, without network devices, where nothing is on the path but
Python and a shell. If MIMO_EDGE_DEBIAN_ROOT names a folder, it is the system in that folder:

    debootstrap --variant=minbase --include=python3 bookworm /var/tmp/bare
    MIMO_EDGE_DEBIAN_ROOT=/var/tmp/bare pytest -m slow tests/deploy
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from convert.sharing.packing import pack
from tests.convert.bundle_folders import DEMO
from tests.tools.installed_wheel import wheel_of_installed
from tests.tools.words import nearly

ROOT = Path(__file__).parents[2]
QUESTION = ROOT / "tests" / "data" / "demo" / "sum.flac"
ANSWER = "seven plus five is twelve"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="needs Linux' namespaces"),
]


class _Machine:
    """A bare system, in which a folder `stick` lies; commands run there without a network."""

    def __init__(self, folder: Path) -> None:
        """Use the system that the environment names, else this one without its programs."""
        named = os.environ.get("MIMO_EDGE_DEBIAN_ROOT")
        self.root = Path(named) if named else None
        self.home = folder / "home"
        if self.root is None:
            self.inside = folder
            self.path = folder / "bin"
            self.path.mkdir()
            for program in ("sh", "dirname"):
                found = shutil.which(program)
                assert found is not None
                (self.path / program).symlink_to(found)
            (self.path / "python3").symlink_to(Path(sys.executable).resolve())
        else:
            self.inside = Path(tempfile.mkdtemp(dir=self.root / "media"))
            self.path = Path("/usr/bin:/bin")
            self.home = Path("/media") / self.inside.name / "home"
        (self.inside / "home").mkdir()

    def python_version(self) -> str:
        look = "import sys; print('{}.{}'.format(*sys.version_info))"
        return self.run("python3", "-c", look).stdout.strip()

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command in the folder of the stick, with nothing of this environment."""
        settings = [f"HOME={self.home}", f"PATH={self.path}"]
        bare = ["env", "-i", *settings, *command]
        if self.root is None:
            whole = ["unshare", "--net", *bare]
        else:
            within = Path("/media") / self.inside.name
            script = f'mount -t proc proc {self.root}/proc && cd {self.root} && exec chroot . "$@"'
            enter = ["sh", "-c", f'cd {within} && exec "$@"', "sh"]
            whole = ["unshare", "--net", "--mount", "sh", "-c", script, "sh", *enter, *bare]
        return subprocess.run(whole, cwd=self.inside, capture_output=True, text=True, timeout=300)


@pytest.fixture
def machine(tmp_path: Path) -> _Machine:
    folder = tmp_path / "machine"
    folder.mkdir()
    machine = _Machine(folder)
    done = machine.run("sh", "-c", "exit 0")
    if done.returncode:
        pytest.skip(f"namespaces are not to be had here: {done.stderr.strip()}")
    return machine


@pytest.fixture
def wheelhouse(machine: _Machine, tmp_path: Path) -> Path:
    """As `make wheelhouse` makes it, around the llama.cpp that is installed here."""
    llama = wheel_of_installed("llama-cpp-python", tmp_path, tags="py3-none-linux_x86_64")
    out = tmp_path / "wheelhouse"
    command = [sys.executable, "-m", "deploy.wheelhouse", "--out", str(out)]
    options = ["--llama", str(llama), "--pythons", machine.python_version()]
    done = subprocess.run(
        [*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    if done.returncode and ("Connection" in done.stderr or "resolution" in done.stderr):
        pytest.skip("no network to download wheels over")
    assert done.returncode == 0, done.stderr
    return out


def test_a_bare_machine_answers_in_speech(
    machine: _Machine, wheelhouse: Path, tmp_path: Path
) -> None:
    pack(DEMO, [wheelhouse], machine.inside / "stick")
    shutil.copy(QUESTION, machine.inside / "question.flac")
    compilers = machine.run(
        "sh", "-c", "for c in cc gcc g++ c++ clang cmake ninja make; do command -v $c; done"
    )
    assert compilers.stdout == ""
    assert (
        "unreachable"
        in machine.run(
            "python3", "-c", "import socket; socket.create_connection(('1.1.1.1', 443), timeout=5)"
        ).stderr
    )

    talk = ("sh", "stick/start.sh", "--input", "question.flac", "--output", "answers")
    done = machine.run(*talk, "--seed", "1", "--transcribe", "--json")
    assert done.returncode == 0, done.stderr
    turn = json.loads(done.stdout)
    assert nearly(turn["question"], "what is seven plus five") and nearly(turn["text"], ANSWER)
    # What llama.cpp says of its libraries is nobody's business.
    assert all(line.startswith("mimo-edge: installing") for line in done.stderr.splitlines())

    heard = machine.run("sh", "stick/start.sh", "transcribe", "answers/answer-1.wav")
    assert nearly(heard.stdout, ANSWER, share=0.8), heard.stderr
    verified = machine.run("sh", "stick/start.sh", "verify")
    assert verified.returncode == 0 and "files are whole" in verified.stdout
