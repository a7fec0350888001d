"""llama.cpp built in some way: its wheel in the user's cache, and an environment that has it.

What `vulkan.py`, `portable.py` and `wheelhouse.py` share. A wheel is kept by what it was built of
and for, so that a second time takes seconds. Uses nothing but Python's own library.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_LLAMA = re.compile(r'"(llama-cpp-python[^"]*)"')
_WHEEL = "llama_cpp_python-*.whl"


class CannotBuild(Exception):
    """Something is missing: a sentence."""


@dataclass(frozen=True, kw_only=True)
class Build:
    """A way to build llama.cpp. `run` does it in a new folder, and returns the wheel in there."""

    name: str
    """Of its folder in the cache, and of who speaks."""
    parts: tuple[str, ...]
    """What else than version, compiler and machine makes one wheel different from another."""
    core_minutes: int
    """About how long it takes on one core."""
    run: Callable[[Path], Path]
    processor: str = ""
    """For which one it is built; empty: for all of a kind."""


def requirement() -> str:
    """Which versions the project needs, as pip takes it: `llama-cpp-python>=0.3.36,<0.4`."""
    match = _LLAMA.search((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert match is not None
    return match[1]


def kept_wheel(build: Build) -> Path | None:
    """The wheel of an earlier build, if it is in the cache."""
    return next(_folder(build).glob(_WHEEL), None)


def wheel_of(build: Build, *, within: float | None = None) -> Path:
    """The wheel: of the cache, or built into it, which takes minutes.

    `within`: how many seconds there are for that.

    Raises:
        CannotBuild: there is no compiler, or too little time.
    """
    if kept := kept_wheel(build):
        return kept
    if not _compiler() and os.name != "nt":  # CMake finds Microsoft's by itself
        raise CannotBuild("not installed: a C++ compiler; with Debian: apt-get install g++.")
    minutes = build.core_minutes / (os.cpu_count() or 1)
    if within is not None and within < 60 * minutes:
        raise CannotBuild(
            "no wheel of llama.cpp is kept from an earlier time, and building one takes about "
            f"{minutes:.0f} minutes; {max(within, 0) / 60:.1f} are left."
        )
    say(build.name, f"building llama.cpp; that takes about {minutes:.0f} minutes, once")
    folder = _folder(build)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        built = build.run(Path(name))
        folder.mkdir(exist_ok=True)
        # Whole or not at all, whoever builds beside this.
        return built.replace(folder / built.name)


def pip_wheel(
    python: Path, out: Path, *options: str, env: dict[str, str], cmake: tuple[str, ...]
) -> Path:
    """Build llama-cpp-python into the folder `out` with these arguments for CMake."""
    env = {"CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count() or 1), **env}
    command = ("-m", "pip", "wheel", "--no-deps", "--no-cache-dir", *options)
    source = ("--no-binary", "llama-cpp-python", "--wheel-dir", out, requirement())
    run(python, *command, *source, env={**env, "CMAKE_ARGS": " ".join(cmake)})
    (built,) = out.glob(_WHEEL)
    return built


def options_of(name: str, description: str) -> argparse.ArgumentParser:
    """The options of a command that makes an environment `.venv-NAME`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--venv", type=Path, default=ROOT / f".venv-{name}")
    parser.add_argument(
        "--within", type=float, metavar="SECONDS", help="Build only if that takes less time."
    )
    add_without_amx(parser)
    return parser


def add_without_amx(parser: argparse.ArgumentParser) -> None:
    """The option `--without-amx`."""
    parser.add_argument(
        "--without-amx",
        action="store_true",
        help="Leave out kernels for Intel's AMX, which some compilers miscompile (see Makefile).",
    )


def make_environment(
    name: str, extras: str, build: Callable[[], Build], options: argparse.Namespace
) -> int:
    """Make the environment, and say so; exit status 1 with a sentence if that is not possible."""
    # Whoever runs out of time ends this; then nothing is left in the cache.
    signal.signal(signal.SIGTERM, _end)
    started = time.monotonic()
    try:
        wheel = wheel_of(build(), within=options.within)
        python = new_environment(options.venv.resolve())
        pip = (python, "-m", "pip", "install", "--quiet")
        run(*pip, "--force-reinstall", "--no-deps", wheel)
        run(*pip, "--editable", f"{ROOT}[{extras}]", "pytest")
    except CannotBuild as error:
        say(name, str(error))
        return 1
    except subprocess.CalledProcessError as error:
        say(name, failure(error))
        return 1
    say(name, f"{options.venv} is ready after {time.monotonic() - started:.0f} s ({wheel.name})")
    return 0


def new_environment(folder: Path) -> Path:
    """The interpreter of an environment with a pip of its own: that of the caller may have none."""
    venv.create(folder, with_pip=True)
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def cache(name: str) -> Path:
    """Where wheels of one kind are kept."""
    folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(folder) / "mimo_edge" / name


def run(*command: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> None:
    """A command that has to succeed: subprocess.CalledProcessError if not."""
    subprocess.run([str(part) for part in command], env=env, cwd=cwd, check=True)


def failure(error: subprocess.CalledProcessError) -> str:
    """A sentence about a command that failed."""
    return f"this command failed with status {error.returncode}: {shlex.join(error.cmd)}"


def say(name: str, sentence: str) -> None:
    """To the person at the terminal."""
    sys.stderr.write(f"{name}: {sentence}\n")


def _end(*_: object) -> None:
    # `timeout` and `make` both pass it on: the second one must not stop the clearing up.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(143)


def _folder(build: Build) -> Path:
    parts = (requirement(), *build.parts, _compiler(), platform.machine(), build.processor)
    return cache(build.name) / hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _compiler() -> str:
    """What the C++ compiler says of itself; empty: there is none."""
    found = shutil.which(shlex.split(os.environ.get("CXX") or "c++")[0])
    if not found:
        return ""
    return subprocess.run([found, "--version"], capture_output=True, check=False).stdout.decode()
