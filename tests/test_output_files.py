"""Files that appear whole or not at all, and names that stand for something else."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mimo_edge.atomic import atomic_output, check_output
from mimo_edge.errors import MimoEdgeError
from tests.tools.full_disk import largest_file

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX files")
LONGEST = "听" * 80 + ".wav"  # 244 bytes


def write(path: Path, content: bytes = b"whole") -> None:
    check_output(path)
    with atomic_output(path) as file:
        file.write(content)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_exception_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    for before in (None, "older"):
        if before:
            path.write_text(before)
        with pytest.raises(error), atomic_output(path) as file:
            file.write(b"half")
            raise error
        assert [p.read_text() for p in tmp_path.iterdir()] == ([before] if before else [])


def test_the_file_appears_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic_output(path) as file:
        file.write(b"whole")
        assert not path.exists()
    assert path.read_text() == "whole" and list(tmp_path.iterdir()) == [path]


def test_looking_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    check_output(path)
    assert not list(tmp_path.iterdir())
    path.write_text("older")
    check_output(path)
    assert path.read_text() == "older" and list(tmp_path.iterdir()) == [path]
    check_output(Path("a.txt"))


def test_names_that_cannot_be_written(tmp_path: Path) -> None:
    """The same sentence before the work and after it."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("in the way")
    for name, complaint in {
        "no/a.txt": "there is no folder|No such file",
        "file/a.txt": "cannot be written",
        "folder": "Is a directory",
        "m" * 300: "too long",
        "m/" * 3000: "too long|no folder",
        "a\0.txt": "no name of a file",
        "a\ud800.txt": "no name of a file",
    }.items():
        for attempt in (check_output, write):
            with pytest.raises(MimoEdgeError, match=complaint):
                attempt(tmp_path / name)
        with pytest.raises(MimoEdgeError, match=complaint), atomic_output(tmp_path / name) as file:
            file.write(b"nowhere")
    assert {path.name for path in tmp_path.iterdir()} == {"folder", "file"}
    assert not list((tmp_path / "folder").iterdir())


@posix
def test_protected_folders_and_files() -> None:
    """In a child that is not root: for root, everything is writable."""
    script = """
import os, tempfile
from pathlib import Path
from mimo_edge.atomic import atomic_output, check_output
from mimo_edge.errors import MimoEdgeError

if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)

def refused(path, complaint):
    try:
        check_output(path)
    except MimoEdgeError as error:
        assert complaint in str(error), error
    else:
        raise AssertionError(path)

with tempfile.TemporaryDirectory() as folder:
    own = Path(folder, "own")
    own.write_text("older")
    own.chmod(0o400)
    refused(own, "protected")
    closed = Path(folder, "closed")
    closed.mkdir(0o500)
    refused(closed / "a", "cannot be written (Permission denied)")
    refused(Path("/etc/passwd"), "protected")
    check_output(Path("/dev/null"))
    with atomic_output(Path("/dev/null")) as file:
        file.write(b"gone")
    assert own.read_text() == "older" and not list(closed.iterdir())
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@posix
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder that nobody can write to")
def test_a_folder_of_the_system() -> None:
    """Permissions would let root write there."""
    with pytest.raises(MimoEdgeError, match="cannot be written"):
        check_output(Path("/proc/a.txt"))


def test_the_longest_name(tmp_path: Path) -> None:
    path = tmp_path / LONGEST
    write(path)
    assert path.read_bytes() == b"whole" and list(tmp_path.iterdir()) == [path]


@posix
def test_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.txt")
    write(path)
    assert os.listdir(os.fsencode(tmp_path)) == [b"caf\xe9.txt"]  # noqa: PTH208


@posix
def test_a_link_stays(tmp_path: Path) -> None:
    """Also one whose target is not there yet, and one to another one."""
    (tmp_path / "real").mkdir()
    target, link, second = tmp_path / "real" / "a.txt", tmp_path / "link", tmp_path / "second"
    link.symlink_to(Path("real") / "a.txt")
    second.symlink_to(link)
    for path in (link, second, link):
        write(path, path.name.encode())
        assert link.is_symlink() and second.is_symlink()
        assert not target.is_symlink() and target.read_text() == path.name
    assert {path.name for path in tmp_path.iterdir()} == {"real", "link", "second"}
    assert list((tmp_path / "real").iterdir()) == [target]
    lost, loop = tmp_path / "lost", tmp_path / "loop"
    lost.symlink_to(tmp_path / "no" / "a.txt")
    loop.symlink_to(loop)
    for path in (lost, loop):
        with pytest.raises(MimoEdgeError, match="cannot be written"):
            check_output(path)


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755])
def test_permissions_stay(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.txt"
    path.write_text("older")
    path.chmod(mode)
    before = path.stat()
    write(path)
    after = path.stat()
    assert stat.S_IMODE(after.st_mode) == mode
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)


@posix
def test_a_new_file_obeys_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "a.txt")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


@posix
def test_the_owner_stays(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give files away")
    path = tmp_path / "a.txt"
    path.write_text("older")
    os.chown(path, 12345, 23456)
    write(path)
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)


@posix
def test_a_fifo_is_written_to(tmp_path: Path) -> None:
    fifo, heard = tmp_path / "fifo", []
    os.mkfifo(fifo)
    reader = threading.Thread(target=lambda: heard.append(fifo.read_bytes()))
    reader.start()
    write(fifo, b"x" * 300_000)
    reader.join(30)
    assert heard == [b"x" * 300_000]
    assert stat.S_ISFIFO(fifo.stat().st_mode) and list(tmp_path.iterdir()) == [fifo]


@posix
def test_a_device_is_written_to(tmp_path: Path) -> None:
    """A copy of /dev/null where that is allowed: a mistake costs nothing. And a full one."""
    null = tmp_path / "null"
    try:
        os.mknod(null, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        write(null)
    except (OSError, MimoEdgeError):  # not root, or devices do not work on this disk
        null = Path("/dev/null")
        if os.geteuid() != 0:
            write(null)
    assert stat.S_ISCHR(null.stat().st_mode)
    full = Path("/dev/full")
    if full.exists():
        with pytest.raises(MimoEdgeError, match="No space left"):
            write(full)
        assert stat.S_ISCHR(full.stat().st_mode)


@posix
@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="no /dev/stdout")
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "link"])
def test_the_process_own_streams(tmp_path: Path, name: str) -> None:
    """Redirected to a file that already holds something: what others wrote there stays."""
    (tmp_path / "link").symlink_to("/dev/stdout")
    script = (
        "import sys; from pathlib import Path; from mimo_edge.atomic import atomic_output\n"
        f"with atomic_output(Path({str(tmp_path / name)!r})) as file: file.write(b'sound')"
    )
    out = tmp_path / "out"
    out.write_bytes(b"before ")
    with out.open("ab") as file:
        subprocess.run([sys.executable, "-c", script], check=True, stdout=file)
    assert out.read_bytes() == b"before sound"
    piped = subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.PIPE)
    assert piped.stdout == b"sound"


def test_a_full_disk_keeps_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("older")
    with largest_file(2000), pytest.raises(MimoEdgeError, match="free disk"):
        write(path, b"x" * 100_000)
    assert path.read_text() == "older" and list(tmp_path.iterdir()) == [path]
