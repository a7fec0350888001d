"""Build llama.cpp for Vulkan, into an environment of its own: `make vulkan`.

    python -m deploy.vulkan [--venv .venv-vulkan] [--without-amx] [--tools]

The wheel is kept in the user's cache, by what it was built of and for, so that a second time takes
seconds. What a Debian machine lacks for it, `--tools` prints, one package a line. Debian 12's
Vulkan headers are too old for llama.cpp: then those of the next release are fetched with apt and
unpacked beside the wheel, nothing of the system is changed.

Uses nothing but Python's own library.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

from .wheelhouse import LLAMA, ROOT

EXTRAS = "convert,microphone"
NEXT_RELEASE = "trixie"
"""Debian's, whose headers are new enough."""
HEADER_PACKAGES = ("libvulkan-dev", "spirv-headers")
NEEDED_HEADERS = (1, 4)
"""Version of Vulkan's headers that llama.cpp's sources are written for."""
CMAKE_ARGS = ("-DGGML_VULKAN=ON", "-DLLAVA_BUILD=OFF")
AMX_OFF = "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
LIBRARY_FOLDERS = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib")
HEADER_FOLDERS = ("/usr/include", "/usr/local/include")


class CannotBuild(Exception):
    """Something is missing: a sentence."""


def main() -> int:
    """Make the environment; exit status 1 with a sentence if that is not possible here."""
    options = _options()
    if options.tools:
        sys.stdout.write("".join(f"{package}\n" for package in missing_packages()))
        return 0
    started = time.monotonic()
    try:
        wheel = _wheel(_cache(), without_amx=options.without_amx)
        _environment(options.venv.resolve(), wheel)
    except CannotBuild as error:
        _say(str(error))
        return 1
    except subprocess.CalledProcessError as error:
        _say(f"a command failed with status {error.returncode}: {error.cmd}")
        return 1
    _say(f"{options.venv} is ready after {time.monotonic() - started:.0f} s ({wheel.name})")
    return 0


def missing_packages() -> list[str]:
    """Packages of Debian that are not installed: compiler of shaders, loader, a software device."""
    missing = []
    if not shutil.which("glslc"):
        missing.append("glslc")
    if not _found(LIBRARY_FOLDERS, "libvulkan.so"):
        missing.append("libvulkan-dev")
    if not list(Path("/usr/share/vulkan/icd.d").glob("*.json")):
        missing.append("mesa-vulkan-drivers")
    return missing


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="An environment whose llama.cpp knows Vulkan.")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv-vulkan")
    parser.add_argument("--tools", action="store_true", help="Print what Debian packages lack.")
    parser.add_argument(
        "--without-amx",
        action="store_true",
        help="Leave out kernels for Intel's AMX, which some compilers miscompile (see Makefile).",
    )
    return parser.parse_args()


def _cache() -> Path:
    folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(folder) / "mimo_edge" / "vulkan"


def _wheel(cache: Path, *, without_amx: bool) -> Path:
    """The wheel for this machine: of the cache, or built into it, which takes minutes."""
    if missing := [name for name in missing_packages() if name != "mesa-vulkan-drivers"]:
        raise CannotBuild(f"not installed: {' '.join(missing)}; with Debian: apt-get install them.")
    match = LLAMA.search((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert match is not None
    flags = AMX_OFF if without_amx else ""
    kept = cache / _key(match[1], flags)
    for wheel in kept.glob("llama_cpp_python-*.whl"):
        return wheel
    environment = {
        "CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count() or 1),
        **os.environ,
        "CMAKE_ARGS": " ".join([*CMAKE_ARGS, *_headers(cache)]),
        "CFLAGS": f"{os.environ.get('CFLAGS', '')} {flags}".strip(),
        "CXXFLAGS": f"{os.environ.get('CXXFLAGS', '')} {flags}".strip(),
    }
    _say("building llama.cpp with Vulkan; that takes about 8 minutes on two cores, once")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as building:
        command = ("-m", "pip", "wheel", "--no-deps", "--no-cache-dir")
        source = ("--no-binary", "llama-cpp-python", "--wheel-dir", building, match[1])
        _run(_pip(Path(building)), *command, *source, env=environment)
        (built,) = Path(building).glob("llama_cpp_python-*.whl")
        kept.mkdir(exist_ok=True)
        # Whole or not at all, whoever builds beside this.
        return built.replace(kept / built.name)


def _key(requirement: str, flags: str) -> str:
    """What makes two wheels different: the version, the options, the compiler, the processor."""
    compiler = subprocess.run([os.environ.get("CXX", "c++"), "--version"], capture_output=True)
    told = Path("/proc/cpuinfo")
    processor = platform.processor()
    if told.exists():
        found = re.search(
            r"^(flags|Features)\s*:(.*)$", told.read_text(encoding="utf-8"), re.MULTILINE
        )
        processor = found[2] if found else processor
    parts = (requirement, *CMAKE_ARGS, flags, compiler.stdout.decode(), platform.machine())
    text = "\n".join((*parts, processor))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _headers(cache: Path) -> list[str]:
    """CMake's arguments for the headers: none where those of the system are new enough."""
    if _header_version() >= NEEDED_HEADERS and _found(
        ("/usr/share/cmake", "/usr/lib/cmake", "/usr/local/lib/cmake", "/usr/local/share/cmake"),
        "SPIRV-Headers",
    ):
        return []
    folder = cache / f"headers-{NEXT_RELEASE}"
    if not folder.exists():
        _fetch_headers(folder)
    (spirv,) = folder.glob("usr/**/SPIRV-HeadersConfig.cmake")
    return [f"-DVulkan_INCLUDE_DIR={folder}/usr/include", f"-DSPIRV-Headers_DIR={spirv.parent}"]


def _header_version() -> tuple[int, int]:
    """(major, minor) of the system's Vulkan headers; (0, 0): there are none."""
    for folder in HEADER_FOLDERS:
        path = Path(folder, "vulkan", "vulkan_core.h")
        if path.exists():
            complete = r"VK_HEADER_VERSION_COMPLETE VK_MAKE_API_VERSION\(0, (\d+), (\d+),"
            if found := re.search(complete, path.read_text(encoding="utf-8")):
                return int(found[1]), int(found[2])
    return 0, 0


def _fetch_headers(folder: Path) -> None:
    """Headers of Debian's next release, with lists and caches of apt that are thrown away."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise CannotBuild(
            "Vulkan's headers of this system are older than "
            f"{'.'.join(map(str, NEEDED_HEADERS))}, or SPIRV's are missing; install newer ones."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        work = Path(name)
        keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
        (work / "sources.list").write_text(
            f"deb [signed-by={keys}] http://deb.debian.org/debian {NEXT_RELEASE} main\n",
            encoding="utf-8",
        )
        for part in ("lists/partial", "cache/archives/partial"):
            (work / part).mkdir(parents=True)
        options = {
            "Dir::Etc::sourcelist": work / "sources.list",
            "Dir::Etc::sourceparts": "-",
            "Dir::State::lists": work / "lists",
            "Dir::Cache": work / "cache",
            "APT::Sandbox::User": "root",
        }
        apt = ["apt-get", "-qq", *(f"-o{key}={value}" for key, value in options.items())]
        _run(*apt, "update")
        _run(*apt, "download", *HEADER_PACKAGES, cwd=work)
        for package in work.glob("*.deb"):
            _run("dpkg-deb", "--extract", package, work / "unpacked")
        (work / "unpacked").replace(folder)


def _environment(folder: Path, wheel: Path) -> None:
    """The project, what it needs and pytest, with that wheel of llama.cpp."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    _run(python, "-m", "pip", "install", "--quiet", "--force-reinstall", "--no-deps", wheel)
    _run(python, "-m", "pip", "install", "--quiet", "--editable", f"{ROOT}[{EXTRAS}]", "pytest")


def _pip(folder: Path) -> Path:
    """An interpreter with a pip of its own: the one that runs this may have none."""
    venv.create(folder / "tools", with_pip=True)
    return folder / "tools" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _found(folders: tuple[str, ...], name: str) -> bool:
    return any(
        Path(folder, *between, name).exists()
        for folder in folders
        for between in ((), (f"{platform.machine()}-linux-gnu",))
    )


def _run(*command: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> None:
    subprocess.run([str(part) for part in command], env=env, cwd=cwd, check=True)


def _say(sentence: str) -> None:
    sys.stderr.write(f"vulkan: {sentence}\n")


if __name__ == "__main__":
    sys.exit(main())
