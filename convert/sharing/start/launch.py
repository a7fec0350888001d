"""Starts mimo_edge out of a packed folder: installs it once on this machine, then runs it.

    python launch.py [COMMAND] [OPTIONS]   # without a command: a conversation (`chat`)
    python launch.py --fits                # exit status 0: there are wheels for this Python

A program of its own, which knows nothing but Python's own library. The folder may be read-only,
or on a disk without symbolic links and permissions, so the installation goes to where programs of
this user keep their data; MIMO_EDGE_HOME names another place.
"""

from __future__ import annotations

import sys

try:
    import contextlib
    import ctypes  # noqa: F401
    import hashlib
    import os
    import platform
    import re
    import shutil
    import subprocess
    import tempfile
    import venv
    import zlib  # noqa: F401
    from collections.abc import Iterator
    from pathlib import Path
except ImportError as error:  # Debian's python3-minimal, or one that was built without a library
    sys.stderr.write(
        f"{sys.executable} lacks a part of Python's own library ({error.name}); install the whole "
        "of it (Debian, Ubuntu: apt install python3).\n"
    )
    sys.exit(1)

HERE = Path(__file__).resolve().parent
WHEELS = HERE / "wheels"
HASH_LIST = HERE / "SHA256SUMS"
UNFINISHED = HERE / ".mimo-edge-complete"
NATIVE = ("llama_cpp_python", "numpy", "onnxruntime")
"""Packages that have a wheel of their own for each system, and some for each Python."""
EXTRAS = {"microphone": "sounddevice", "server": "starlette", "talk": "websockets"}
"""Extras of mimo-edge → a wheel that is there if the extra was packed."""
DONE = "mimo-edge-installed"
"""File in an environment of which the installation came to its end."""


class NotHere(Exception):
    """A sentence for the person at the machine."""


def main(arguments: list[str]) -> int:
    """Install if that is still to be done, and run; the exit status."""
    try:
        names = check_folder()
        if reason := complaint(names):
            raise NotHere(reason)
        if arguments == ["--fits"]:
            return 0
        return run(installed(names), arguments)
    except NotHere as error:
        sys.stderr.write(f"{error}\n" if arguments == ["--fits"] else f"mimo-edge: {error}\n")
        return 1


def check_folder() -> list[str]:
    """Names of the wheels here.

    Raises:
        NotHere: the folder is not whole.
    """
    names = sorted(path.name for path in WHEELS.glob("*.whl") if not path.name.startswith("."))
    if UNFINISHED.exists() or not HASH_LIST.is_file() or not names:
        raise NotHere(f"{HERE} was not packed or copied to the end; copy it again.")
    return names


def complaint(names: list[str]) -> str | None:
    """Why the wheels do not fit this Python on this machine; None if they do."""
    here = f"Python {platform.python_version()} on {_system()}"
    if sys.maxsize < 1 << 32:
        return f"this is a 32-bit {here}, and the wheels are for 64 bits; install a 64-bit Python."
    for package in NATIVE:
        tags = [name[:-4].split("-")[-3:] for name in names if name.startswith(f"{package}-")]
        if any(fits("-".join((package, "0", *tag))) for tag in tags):
            continue
        near = [tag for tag in tags if any(map(_platform_fits, tag[2].split(".")))]
        if near:
            versions = sorted({tag[0] for tag in near}, key=lambda name: (len(name), name))
            words = ", ".join(re.sub(r"^cp3(\d+)$", r"3.\1", name) for name in versions)
            return (
                f"this is {here}, and {package} is here for Python {words}; install one of those."
            )
        systems = ", ".join(sorted({tag[2] for tag in tags})) or "nothing"
        return (
            f"this is {here}, and {package} is here for {systems} only; pack the folder with a "
            "wheelhouse for this machine as well."
        )
    return None


def _system() -> str:
    """What wheels depend on beside Python, in words: `Linux x86_64 with glibc 2.36`."""
    if sys.platform == "darwin":
        return f"macOS {platform.mac_ver()[0]} {platform.machine()}"
    words = f"{platform.system()} {platform.machine()}"
    if sys.platform != "linux":
        return words
    library = " ".join(platform.libc_ver()).strip()
    return f"{words} with {library}" if library else f"{words} without glibc"


def fits(wheel: str) -> bool:
    """Whether a wheel of this name can be installed here."""
    parts = wheel.removesuffix(".whl").split("-")
    if len(parts) < 5:
        return False
    pythons, abis, platforms = (part.split(".") for part in parts[-3:])
    return any(map(_python_fits, pythons, abis * len(pythons))) and any(
        map(_platform_fits, platforms)
    )


def _python_fits(python: str, abi: str) -> bool:
    minor = sys.version_info[1]
    if python == "py3":
        return True
    match = re.fullmatch(r"cp3(\d+)", python)
    if match is None:
        return False
    return (int(match[1]) == minor and abi != f"cp3{minor}t") or (
        abi == "abi3" and int(match[1]) <= minor
    )


def _platform_fits(tag: str) -> bool:
    machine = platform.machine().lower()
    machine = {"amd64": "x86_64", "aarch64": "arm64"}.get(machine, machine)
    if tag == "any":
        return True
    if sys.platform == "win32":
        return tag == {"x86_64": "win_amd64", "arm64": "win_arm64"}.get(machine)
    if sys.platform == "darwin":
        match = re.fullmatch(r"macosx_(\d+)_(\d+)_(\w+)", tag)
        wanted = (machine, "universal2")
        return bool(match and match[3] in wanted and _at_least(platform.mac_ver()[0], match))
    architecture = "aarch64" if machine == "arm64" else machine
    if not tag.endswith(f"_{architecture}"):
        return False
    if tag.startswith("linux_"):
        return True
    library, version = platform.libc_ver()
    if match := re.match(r"manylinux_(\d+)_(\d+)_", tag):
        return library == "glibc" and _at_least(version, match)
    older = ("manylinux1_", "manylinux2010_", "manylinux2014_")
    return library == "glibc" and tag.startswith(older)


def _at_least(version: str, match: re.Match[str]) -> bool:
    found = [*map(int, re.findall(r"\d+", version)), 0]
    return found[:2] >= [int(match[1]), int(match[2])]


def installed(names: list[str]) -> Path:
    """The interpreter of an environment with mimo_edge in it, which is made if there is none.

    Raises:
        NotHere: the installation fails.
    """
    key = [sys.version, sys.base_prefix, platform.machine(), *_listed_wheels()]
    digest = hashlib.sha256("\n".join(key).encode()).hexdigest()[:12]
    why = "there is no folder for data of this user"
    for home in _homes():
        env = home / f"packed-{digest}"
        python = _interpreter(env)
        if (env / DONE).is_file() and python.exists():
            return python
        try:
            home.mkdir(parents=True, exist_ok=True)
            if _forbids_programs(home):
                why = f"the disk of {home} is mounted so that no program may run from it"
                continue
            _make(Path(tempfile.mkdtemp(prefix=".new-", dir=home)), names, env)
            return python
        except OSError as error:
            why = f"{error.filename or home} cannot be written: {error.strerror or error}"
    return _for_this_time(names, why)


def _for_this_time(names: list[str], why: str) -> Path:
    """The interpreter of an environment among the temporary files.

    Raises:
        NotHere: no program may run from there either, or it cannot be written.
    """
    remedy = "name a folder on another disk in MIMO_EDGE_HOME"
    try:
        work = Path(tempfile.mkdtemp(prefix="mimo-edge-"))
    except OSError as error:
        raise NotHere(f"nothing can be installed here ({why}; nor {error}); {remedy}.") from error
    if _forbids_programs(work):
        work.rmdir()
        raise NotHere(f"nothing can be installed here ({why}, nor from {work.parent}); {remedy}.")
    _say(f"nothing can be kept here ({why}): installing into {work}, for this time only")
    try:
        _make(work, names, work)
    except OSError as error:
        raise NotHere(f"the installation into {work} failed ({error}); {remedy}.") from error
    return _interpreter(work)


def _forbids_programs(folder: Path) -> bool:
    """Whether the disk is mounted with `noexec`, where no library can be loaded from."""
    if not hasattr(os, "statvfs"):
        return False
    return bool(os.statvfs(folder).f_flag & getattr(os, "ST_NOEXEC", 0))


def _listed_wheels() -> list[str]:
    """The lines of the hash list about wheels: other wheels get an environment of their own."""
    lines = HASH_LIST.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if "  wheels/" in line]


def _homes() -> Iterator[Path]:
    """Where programs of this user keep what they need, the likeliest first."""
    if named := os.environ.get("MIMO_EDGE_HOME"):
        yield Path(named).absolute()
        return
    if sys.platform == "win32":
        data = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        data = "~/Library/Application Support"
    else:
        data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    with contextlib.suppress(RuntimeError):  # the system knows no home of this user
        home = Path(data).expanduser() / "mimo-edge"
        if home.is_absolute():
            yield home


def _interpreter(env: Path) -> Path:
    return env / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _make(work: Path, names: list[str], env: Path) -> None:
    """Install into the new folder `work`, which then becomes `env`; gone after an error."""
    _say(f"installing into {env}, once; that takes about a minute")
    try:
        # Without pip: that needs a package that Debian's Python lacks. It comes as a wheel.
        venv.create(work, with_pip=False, symlinks=os.name != "nt")
        _install(_interpreter(work), names)
        (work / DONE).touch()
        if work != env:
            shutil.rmtree(env, ignore_errors=True)  # of a Python that is gone
            work.rename(env)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        if work != env and (env / DONE).is_file():
            return  # another start of this folder was faster
        raise


def _install(python: Path, names: list[str]) -> None:
    pip = next((name for name in names if name.startswith("pip-")), None)
    if pip is None:
        raise NotHere(f"{WHEELS} holds no wheel of pip; pack again with a complete wheelhouse.")
    extras = [e for e, package in EXTRAS.items() if any(n.startswith(f"{package}-") for n in names)]
    command = [str(python), "-I", str(WHEELS / pip / "pip"), "--isolated", "install", "--quiet"]
    options = ["--no-index", "--no-cache-dir", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, *options, "--find-links", str(WHEELS), f"mimo-edge[{','.join(extras)}]"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=_environment(),
    )
    if done.returncode:
        said = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        reason = next((line for line in said if line.startswith("ERROR")), (said or ["?"])[-1])
        raise NotHere(f"the installation failed ({reason.removeprefix('ERROR: ')}).")


def _environment() -> dict[str, str]:
    """Without what would lead Python or pip to other packages than those here."""
    kept = {k: v for k, v in os.environ.items() if not k.upper().startswith(("PYTHON", "PIP_"))}
    return {**kept, "MIMO_EDGE_MODEL": str(HERE / "bundle")}


def run(python: Path, arguments: list[str]) -> int:
    """Run a command of mimo-edge; on systems that can, in the place of this process."""
    named = bool(arguments) and not arguments[0].startswith("-")
    command = arguments if named else ["chat", *arguments]
    if command == ["verify"]:
        command = ["verify", str(HERE)]
    whole = [str(python), "-I", "-m", "mimo_edge", *command]
    if os.name != "nt":
        os.execve(whole[0], whole, _environment())
    with subprocess.Popen(whole, env=_environment()) as process:
        while True:
            # Ctrl-C reaches the command as well, which ends by itself.
            with contextlib.suppress(KeyboardInterrupt):
                return process.wait()


def _say(sentence: str) -> None:
    sys.stderr.write(f"mimo-edge: {sentence}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
