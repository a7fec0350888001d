"""Build llama.cpp for Vulkan, into an environment of its own: `make vulkan`.

    python -m deploy.vulkan [--venv .venv-vulkan] [--within SECONDS] [--without-amx] [--tools]

What a Debian machine lacks for it, `--tools` prints, one package a line. Debian 12's Vulkan headers
are too old for llama.cpp: then those of the next release are fetched with apt and unpacked beside
the wheel, nothing of the system is changed.

Uses nothing but Python's own library.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import tempfile
from pathlib import Path

from .llama_builds import (
    Build,
    CannotBuild,
    cache,
    make_environment,
    new_environment,
    options_of,
    pip_wheel,
    run,
)

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


def main() -> int:
    """Make the environment; exit status 1 with a sentence if that is not possible here."""
    parser = options_of("vulkan", "An environment whose llama.cpp knows Vulkan.")
    parser.add_argument("--tools", action="store_true", help="Print what Debian packages lack.")
    options = parser.parse_args()
    if options.tools:
        sys.stdout.write("".join(f"{package}\n" for package in missing_packages()))
        return 0
    return make_environment(
        "vulkan", EXTRAS, lambda: vulkan_build(without_amx=options.without_amx), options
    )


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


def vulkan_build(*, without_amx: bool) -> Build:
    """llama.cpp for this very processor and for GPUs.

    Raises:
        CannotBuild: a package is missing.
    """
    if missing := [name for name in missing_packages() if name != "mesa-vulkan-drivers"]:
        raise CannotBuild(f"not installed: {' '.join(missing)}; with Debian: apt-get install them.")
    flags = AMX_OFF if without_amx else ""

    def build(folder: Path) -> Path:
        env = dict(os.environ)
        for name in ("CFLAGS", "CXXFLAGS"):
            env[name] = f"{env.get(name, '')} {flags}".strip()
        cmake = (*CMAKE_ARGS, *_headers(cache("vulkan")))
        return pip_wheel(new_environment(folder / "tools"), folder, env=env, cmake=cmake)

    return Build(
        name="vulkan",
        parts=(*CMAKE_ARGS, flags),
        core_minutes=12,
        run=build,
        processor=_processor(),
    )


def _processor() -> str:
    """What it can do, as Linux lists it; elsewhere its name."""
    told = Path("/proc/cpuinfo")
    if told.exists():
        lines = told.read_text(encoding="utf-8")
        if found := re.search(r"^(flags|Features)\s*:(.*)$", lines, re.MULTILINE):
            return found[2]
    return platform.processor()


def _headers(kept: Path) -> list[str]:
    """CMake's arguments for the headers: none where those of the system are new enough."""
    if _header_version() >= NEEDED_HEADERS and _found(
        ("/usr/share/cmake", "/usr/lib/cmake", "/usr/local/lib/cmake", "/usr/local/share/cmake"),
        "SPIRV-Headers",
    ):
        return []
    folder = kept / f"headers-{NEXT_RELEASE}"
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
        run(*apt, "update")
        run(*apt, "download", *HEADER_PACKAGES, cwd=work)
        for package in work.glob("*.deb"):
            run("dpkg-deb", "--extract", package, work / "unpacked")
        (work / "unpacked").replace(folder)


def _found(folders: tuple[str, ...], name: str) -> bool:
    return any(
        Path(folder, *between, name).exists()
        for folder in folders
        for between in ((), (f"{platform.machine()}-linux-gnu",))
    )


if __name__ == "__main__":
    sys.exit(main())
