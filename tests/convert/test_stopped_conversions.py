"""What is left of a conversion that fails, is stopped or killed, or has a folder not to itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from convert.target import claim
from mimo_edge.bundle.files import load_manifest
from mimo_edge.bundle.manifest import BACKBONE_FILE
from mimo_edge.errors import MimoEdgeError
from tests.convert.bundle_folders import ROOT, fill, replace

HOLD = """
import sys
from pathlib import Path
from convert.target import claim
with claim(Path(sys.argv[1]), force=True):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_nothing_is_left_of_what_failed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), claim(tmp_path / "a" / "b" / "c", force=False):
        raise RuntimeError("no connection")
    assert not list(tmp_path.iterdir())
    (tmp_path / "a").mkdir()
    with (
        pytest.raises(KeyboardInterrupt),
        claim(tmp_path / "a" / "b", force=False) as target,
        target.working_folder() as work,
    ):
        (work / BACKBONE_FILE).write_text("half of it")
        raise KeyboardInterrupt
    assert list(tmp_path.rglob("*")) == [tmp_path / "a"]


@pytest.mark.parametrize("call", [0, 1, 5])
def test_ctrl_c_while_the_files_move_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    out = fill(tmp_path / "b", "old")
    calls = 0
    original = Path.replace

    def interrupt(path: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == call + 1:
            raise KeyboardInterrupt
        return original(path, target)

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        replace(out, "new")
    assert not list(out.glob(".*"))
    assert load_manifest(out).name == "new"


def attempt(out: Path, *prefix: str) -> str:
    """What `convert` says before it looks at any checkpoint."""
    command = [*prefix, sys.executable, "-m", "convert", "--model", "no", "--tokenizer", "no"]
    done = subprocess.run(
        [*command, "--out", str(out), "--force"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_folders_without_permission(tmp_path: Path) -> None:
    """Also as root, without the right to write everywhere."""
    prefix = []
    if os.name != "posix" or os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root may write everywhere, and there is no setpriv")
        prefix = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"]
    bundle = fill(tmp_path / "b")
    bundle.chmod(0o500)
    tmp_path.chmod(0o500)
    try:
        for out in (bundle, tmp_path / "new", tmp_path / "new" / "newer"):
            text = attempt(out, *prefix)
            assert "cannot be written (Permission denied); choose another folder" in text
    finally:
        tmp_path.chmod(0o700)
        bundle.chmod(0o700)
    assert load_manifest(bundle).name == "demo"


def test_one_conversion_at_a_time(tmp_path: Path) -> None:
    out = tmp_path / "b"
    command = [sys.executable, "-c", HOLD, str(out)]
    for killed in (False, True):
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as first:
            assert first.stdout is not None and first.stdout.readline() == "held\n"
            for force in (False, True):
                with pytest.raises(MimoEdgeError, match="is being written by another conversion"):
                    replace(out, "second", force=force)
            if killed:
                first.kill()
            else:
                assert "b is being written by another conversion; wait until" in attempt(out)
                first.communicate("done\n")
        assert out.exists() == killed
    assert [path.name for path in out.iterdir()] == [".mimo-edge-lock"]
    replace(out, "third")
    assert load_manifest(out).name == "third"
    assert not list(out.glob(".*"))


CHANGES = ("mkdir", "rename", "replace", "rmdir", "unlink")
"""What `Path` can do to a folder."""


def killed_at(step: int, out: Path) -> bool:
    """Replace `out` in a process that is killed before its change number `step`."""
    process = os.fork()
    if process == 0:
        count = 0
        for name in CHANGES:
            original = getattr(Path, name)

            def counted(path: Path, *args: Any, _original: Any = original, **options: Any) -> Any:
                nonlocal count
                count += 1
                if count == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return _original(path, *args, **options)

            setattr(Path, name, counted)
        replace(out, "new")
        os._exit(0)
    _, status = os.waitpid(process, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks a process to kill")
@pytest.mark.parametrize("old", [True, False])
def test_killed_at_any_step(tmp_path: Path, caplog: pytest.LogCaptureFixture, old: bool) -> None:
    """Whenever it is killed, the old or the new bundle is there, and the next run works."""
    step, seen = 0, []
    while True:
        step += 1
        out, again = tmp_path / f"{step}", tmp_path / f"{step}-again"
        if old:
            fill(out, "old")
        if not killed_at(step, out):
            break
        if out.exists():
            shutil.copytree(out, again, symlinks=True)
        if old:
            seen.append(load_manifest(out).name)
        replace(again, "third")
        assert load_manifest(again).name == "third"
        assert not list(again.glob(".*"))
    assert step > 20
    if old:
        first_new = seen.index("new")
        assert seen == ["old"] * first_new + ["new"] * (len(seen) - first_new)
        assert "the conversion that was stopped there is finished now" in caplog.text
