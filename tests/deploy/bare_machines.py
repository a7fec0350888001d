"""A machine without compiler and network: Debian as debootstrap makes it, or this one with less.

`bare_debian` makes the system once and keeps it in the user's cache: packages are taken apart and
not configured, which is enough for Python and takes half of the time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import platformdirs

__all__ = ["BareMachine", "bare_debian"]

_SUITE = "bookworm"
_MIRROR = "http://deb.debian.org/debian"
_INSTALL = ("--foreign", "--variant=minbase", "--include=python3")


def bare_debian() -> Path | None:
    """The root folder of a Debian that has nothing but Python; None if it cannot be made here.

    MIMO_EDGE_DEBIAN_ROOT names another one, as `debootstrap --variant=minbase --include=python3
    bookworm FOLDER` makes it.
    """
    if named := os.environ.get("MIMO_EDGE_DEBIAN_ROOT"):
        return Path(named)
    root = platformdirs.user_cache_path("mimo_edge") / f"test-{_SUITE}"
    if root.is_dir():
        return root
    if shutil.which("debootstrap") is None or os.geteuid() != 0:
        return None
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent) as name:
        work = Path(name) / "root"
        done = subprocess.run(
            ["debootstrap", *_INSTALL, _SUITE, work, _MIRROR], capture_output=True, timeout=600
        )
        if done.returncode:  # no network, no Debian's keys, no devices in this folder, …
            return None
        archives = work / "var" / "cache" / "apt" / "archives"
        for package in sorted(archives.glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", package, work], check=True)
            package.unlink()
        work.rename(root)
    return root


class BareMachine:
    """A system in which a folder lies; commands run there, in that folder, without a network."""

    def __init__(self, root: Path | None, folder: Path) -> None:
        """The system in the folder `root`; None: this one, with Python and a shell alone.

        `folder` is a new one; in another system a folder there takes its place.
        """
        self.root = root
        if root is None:
            self.inside = folder
            self._home, self._path = folder / "home", folder / "bin"
            self._path.mkdir()
            for program in ("sh", "dirname"):
                found = shutil.which(program)
                assert found is not None
                (self._path / program).symlink_to(found)
            (self._path / "python3").symlink_to(Path(sys.executable).resolve())
        else:
            self.inside = Path(tempfile.mkdtemp(dir=root / "home"))
            self._home, self._path = self._within / "home", Path("/usr/bin:/bin")
        (self.inside / "home").mkdir()

    @property
    def _within(self) -> Path:
        return Path("/home") / self.inside.name

    def close(self) -> None:
        """Remove what was written."""
        shutil.rmtree(self.inside)

    def python_version(self) -> str:
        """As `3.11`."""
        look = "import sys; print('{}.{}'.format(*sys.version_info))"
        return self.run("python3", "-c", look).stdout.strip()

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command with nothing of the environment of this process."""
        bare = ["env", "-i", f"HOME={self._home}", f"PATH={self._path}", *command]
        if self.root is None:
            whole = ["unshare", "--net", *bare]
        else:
            script = f'mount -t proc proc {self.root}/proc && cd {self.root} && exec chroot . "$@"'
            enter = ["sh", "-c", f'cd {self._within} && exec "$@"', "sh"]
            whole = ["unshare", "--net", "--mount", "sh", "-c", script, "sh", *enter, *bare]
        return subprocess.run(whole, cwd=self.inside, capture_output=True, text=True, timeout=300)
