"""What starts a packed folder on another machine, run as it is there: by `sh` and Python alone."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from convert.sharing.packing import pack
from convert.sharing.start import launch
from tests.convert.bundle_folders import DEMO
from tests.convert.sharing.small_wheels import make_wheelhouse

pytestmark = pytest.mark.skipif(shutil.which("sh") is None, reason="needs the shell sh")


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed") / "a stick ü"
    pack(DEMO, [make_wheelhouse(folder.parent / "wheelhouse")], folder)
    (folder / "start.sh").chmod(0o644)  # as on a disk without permissions
    return folder


def start(
    folder: Path, *arguments: str, home: Path, **changes: str
) -> subprocess.CompletedProcess[str]:
    """`sh start.sh`, from another folder, as a person with the folder `home` runs it."""
    kept = {k: v for k, v in os.environ.items() if k not in ("XDG_DATA_HOME", "MIMO_EDGE_HOME")}
    settings = {"HOME": str(home), "MIMO_EDGE_PYTHON": sys.executable}
    return subprocess.run(
        ["sh", str(folder / "start.sh"), *arguments],
        cwd=home,
        env={**kept, **settings, **changes},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_it_installs_once_and_passes_on_what_it_is_given(packed: Path, tmp_path: Path) -> None:
    done = start(packed, "--input", "a b.wav", home=tmp_path, PYTHONPATH="/x", PIP_INDEX_URL="y")
    assert done.returncode == 0, done.stderr
    assert "installing into" in done.stderr
    told = json.loads(done.stdout)
    assert told["arguments"] == ["chat", "--input", "a b.wav"]
    assert told["MIMO_EDGE_MODEL"] == str(packed / "bundle")
    assert told["PYTHONPATH"] is None and told["PIP_INDEX_URL"] is None
    assert told["python"].startswith(str(tmp_path / ".local" / "share" / "mimo-edge"))

    again = start(packed, "speak", "hello", "fail", home=tmp_path)
    assert again.returncode == 7 and again.stderr == ""  # the command's own status
    assert json.loads(again.stdout)["arguments"] == ["speak", "hello", "fail"]
    assert json.loads(start(packed, "verify", home=tmp_path).stdout)["arguments"] == [
        "verify",
        str(packed),
    ]
    # The folder itself is as it was: it may be read-only.
    assert not list(packed.rglob("__pycache__")) and not list(packed.glob(".*"))


def test_an_installation_that_was_stopped_is_made_anew(packed: Path, tmp_path: Path) -> None:
    home = tmp_path / "elsewhere"
    start(packed, home=tmp_path, MIMO_EDGE_HOME=str(home))
    (env,) = home.iterdir()
    (env / launch.DONE).unlink()
    shutil.rmtree(env / "bin", ignore_errors=True)
    done = start(packed, home=tmp_path, MIMO_EDGE_HOME=str(home))
    assert done.returncode == 0 and "installing into" in done.stderr
    assert [path.name for path in home.iterdir()] == [env.name]


def test_where_nothing_can_be_kept_it_runs_all_the_same(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    changes = {"MIMO_EDGE_HOME": str(tmp_path / "file" / "x"), "TMPDIR": str(temporary)}
    done = start(packed, home=tmp_path, **changes)
    assert done.returncode == 0, done.stderr
    assert "nothing can be kept here (" in done.stderr and "for this time only" in done.stderr
    assert json.loads(done.stdout)["python"].startswith(str(temporary))


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs Linux' namespaces")
def test_a_disk_from_which_no_program_may_run(packed: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    command = ["sh", str(packed / "start.sh")]
    settings = {"HOME": str(home), "TMPDIR": str(home), "MIMO_EDGE_PYTHON": sys.executable}
    kept = {k: v for k, v in os.environ.items() if k not in ("XDG_DATA_HOME", "MIMO_EDGE_HOME")}
    mount = f'mount -t tmpfs -o noexec tmpfs "{home}" && exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", mount, "sh", *command],
        env={**kept, **settings},
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.stderr.startswith(("mount", "unshare")):
        pytest.skip(f"namespaces are not to be had here: {done.stderr.strip()}")
    assert done.returncode == 1
    assert done.stderr.startswith("mimo-edge: nothing can be installed here (the disk of ")
    assert done.stderr.endswith("name a folder on another disk in MIMO_EDGE_HOME.\n")


def test_without_a_python(packed: Path, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "dirname"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    done = start(packed, home=tmp_path, PATH=str(tools), MIMO_EDGE_PYTHON="")
    assert done.returncode == 1
    assert done.stderr == "mimo-edge: there is no Python here; install Python 3.10 or newer.\n"
    for says, sentence in (
        ("echo False", "python3 is older than Python 3.10; install a newer one."),
        # macOS, where a program of this name offers to install one.
        ("exit 1", "python3 does not run; install Python 3.10 or newer."),
    ):
        (tools / "python3").write_text(f"#!/bin/sh\n{says}\n")
        (tools / "python3").chmod(0o755)
        done = start(packed, home=tmp_path, PATH=str(tools), MIMO_EDGE_PYTHON="")
        assert done.returncode == 1 and done.stderr == f"mimo-edge: {sentence}\n"


def test_a_python_without_all_of_its_library(packed: Path, tmp_path: Path) -> None:
    launcher = (packed / "launch.py").read_text()
    part = f"import sys; sys.modules['venv'] = None; exec({launcher!r})"
    done = subprocess.run([sys.executable, "-c", part], capture_output=True, text=True)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "lacks a part of Python's own library (venv); install the whole of it" in done.stderr


@pytest.mark.parametrize(
    ("tags", "part"),
    [
        ("cp312-cp312-win_amd64", "and llama_cpp_python is here for win_amd64 only; pack"),
        ("cp37-cp37m-any", "and llama_cpp_python is here for Python 3.7; install one of those."),
    ],
)
def test_wheels_for_another_machine(tmp_path: Path, tags: str, part: str) -> None:
    folder = tmp_path / "stick"
    pack(DEMO, [make_wheelhouse(tmp_path / "wheelhouse", tags=tags)], folder)
    done = start(folder, home=tmp_path)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert f"this is Python {platform.python_version()} on {platform.system()}" in done.stderr
    assert part in done.stderr, done.stderr


def test_a_folder_that_was_not_copied_to_the_end(packed: Path, tmp_path: Path) -> None:
    name = "stick" if os.name == "nt" else "a\\new $stick`"
    folder = Path(shutil.copytree(packed, tmp_path / name))
    (folder / "SHA256SUMS").unlink()
    done = start(folder, home=tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        f"mimo-edge: {folder} was not packed or copied to the end; copy it again.\n"
    )


def test_a_damaged_wheel(packed: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(packed, tmp_path / "stick"))
    (folder / "wheels" / "numpy-1.0-py3-none-any.whl").write_bytes(b"PK")
    done = start(folder, home=tmp_path)
    assert done.returncode == 1
    assert "mimo-edge: the installation failed (" in done.stderr.splitlines()[-1]
    assert not list((tmp_path / ".local" / "share" / "mimo-edge").iterdir())


@pytest.mark.parametrize(
    ("system", "machine", "library", "good", "bad"),
    [
        (
            *("linux", "x86_64", ("glibc", "2.31")),
            ("py3-none-manylinux_2_31_x86_64", "cp311-cp311-manylinux2014_x86_64"),
            ("py3-none-manylinux_2_36_x86_64", "py3-none-musllinux_1_2_x86_64"),
        ),
        (
            *("linux", "aarch64", ("glibc", "2.36")),
            ("py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64", "py3-none-linux_aarch64"),
            ("py3-none-manylinux_2_17_x86_64", "py3-none-macosx_11_0_arm64"),
        ),
        (
            *("darwin", "arm64", ("", "")),
            ("py3-none-macosx_11_0_arm64", "cp311-cp311-macosx_10_9_universal2"),
            ("py3-none-macosx_11_0_x86_64", "py3-none-macosx_15_0_arm64"),
        ),
        (
            *("win32", "AMD64", ("", "")),
            ("cp311-cp311-win_amd64", "cp37-abi3-win_amd64", "py2.py3-none-any"),
            ("cp311-cp311-win_arm64", "cp311-cp311-win32", "cp312-abi3-win_amd64"),
        ),
    ],
)
def test_which_wheels_fit(
    monkeypatch: pytest.MonkeyPatch,
    system: str,
    machine: str,
    library: tuple[str, str],
    good: tuple[str, ...],
    bad: tuple[str, ...],
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(sys, "version_info", (3, 11, 7))
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(platform, "libc_ver", lambda: library)
    monkeypatch.setattr(platform, "mac_ver", lambda: ("14.5", ("", "", ""), machine))
    for tags in good:
        assert launch.fits(f"a-1.0-{tags}.whl"), tags
    for tags in (*bad, "cp310-cp310-any", "cp311-cp311t-any", "nonsense"):
        assert not launch.fits(f"a-1.0-{tags}.whl"), tags
