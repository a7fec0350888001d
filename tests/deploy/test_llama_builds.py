"""A wheel of llama.cpp is built once for each need of another one, or a sentence says why not."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.llama_builds import (
    ROOT,
    Build,
    CannotBuild,
    kept_wheel,
    pip_wheel,
    requirement,
    wheel_of,
)
from deploy.wheelhouse import portable_build

pytestmark = pytest.mark.skipif(os.name == "nt", reason="its programs are scripts for a shell")

NAME = "llama_cpp_python-0.3.36-py3-none-any.whl"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("CMAKE_ARGS", "CFLAGS", "CXXFLAGS", "CMAKE_BUILD_PARALLEL_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CXX", _program(tmp_path, "compiler", "echo compiler 1"))
    return tmp_path / "cache" / "mimo_edge"


def _program(folder: Path, name: str, script: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def _build(*parts: str) -> Build:
    def run(folder: Path) -> Path:
        (folder / NAME).write_text("built")
        return folder / NAME

    return Build(name="some", parts=parts, core_minutes=60, run=run)


def _never(folder: Path) -> Path:
    raise AssertionError(f"built again in {folder}")


def test_a_second_time_it_comes_from_the_cache(cache: Path) -> None:
    build = _build("-DA=ON")
    assert kept_wheel(build) is None
    wheel = wheel_of(build)
    assert wheel.name == NAME and cache in wheel.parents
    assert wheel_of(replace(build, run=_never)) == kept_wheel(build) == wheel
    # What it was built in is gone.
    assert [path.name for path in (cache / "some").iterdir()] == [wheel.parent.name]


def test_another_way_processor_or_compiler_is_another_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = _build("-DA=ON")
    wheel_of(build)
    assert kept_wheel(_build("-DA=OFF")) is None
    assert kept_wheel(replace(build, processor="avx2")) is None
    monkeypatch.setenv("CXX", _program(tmp_path, "newer", "echo compiler 2"))
    assert kept_wheel(build) is None


def test_a_build_that_fails_leaves_nothing(cache: Path) -> None:
    def run(folder: Path) -> Path:
        (folder / "half").touch()
        raise subprocess.CalledProcessError(1, ["pip"])

    with pytest.raises(subprocess.CalledProcessError):
        wheel_of(replace(_build(), run=run))
    assert not list((cache / "some").iterdir())


def test_a_build_that_is_ended_leaves_nothing(cache: Path, tmp_path: Path) -> None:
    """By `timeout make`, of which each passes the signal on."""
    script = f"""
import argparse, pathlib, time
from deploy.llama_builds import Build, make_environment
def run(folder):
    for number in range(500):
        (folder / str(number)).touch()
    print("running", flush=True)
    time.sleep(60)
build = Build(name="some", parts=(), core_minutes=1, run=run)
options = argparse.Namespace(venv=pathlib.Path({str(tmp_path / "venv")!r}), within=None)
make_environment("some", "", lambda: build, options)
"""
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        process.terminate()
        process.terminate()
        assert process.wait(timeout=60) == 143
    assert not list((cache / "some").iterdir())


def test_too_little_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with pytest.raises(CannotBuild, match=r"takes about 30 minutes; 5\.0 are left\.$"):
        wheel_of(_build(), within=300)
    with pytest.raises(CannotBuild, match=r"; 0\.0 are left\.$"):
        wheel_of(_build(), within=-20)
    assert wheel_of(_build(), within=1800) == wheel_of(_build(), within=0)


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/nowhere/c++ -m64")
    with pytest.raises(CannotBuild, match=r"not installed: a C\+\+ compiler; .*apt-get install"):
        wheel_of(_build())


def test_what_pip_is_told(tmp_path: Path) -> None:
    """Only llama.cpp is built, from its sources, and pip's own cache is left out of it."""
    script = (
        f'for word; do echo "$word"; done > {tmp_path}/told; echo "$CMAKE_ARGS" >> {tmp_path}/told'
    )
    python = _program(tmp_path, "python", f"{script}\ntouch {tmp_path}/{NAME}")
    given = {"CMAKE_ARGS": "-DOF_THE_CALLER=ON"}
    built = pip_wheel(Path(python), tmp_path, "--more", env=given, cmake=("-DA=ON", "-DB=OFF"))
    assert built == tmp_path / NAME
    *words, cmake = (tmp_path / "told").read_text().splitlines()
    assert cmake == "-DA=ON -DB=OFF"
    assert words[:3] == ["-m", "pip", "wheel"] and words[-1] == requirement()
    assert {"--no-deps", "--no-cache-dir", "--more"} <= set(words)
    assert words[words.index("--no-binary") + 1] == "llama-cpp-python"
    assert requirement().startswith("llama-cpp-python>=")


def test_the_portable_one_is_for_every_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    build = portable_build(without_amx=False)
    assert {"-DGGML_NATIVE=OFF", "-DGGML_CPU_ALL_VARIANTS=ON"} <= set(build.parts)
    assert not build.processor
    assert build.parts != portable_build(without_amx=True).parts
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_VULKAN=ON")
    assert "-DGGML_VULKAN=ON" in portable_build(without_amx=False).parts


@pytest.mark.parametrize(("name", "lacks"), [("portable", "a C++ compiler"), ("vulkan", "glslc")])
def test_a_command_says_why_there_is_no_environment(tmp_path: Path, name: str, lacks: str) -> None:
    venv = tmp_path / "venv"
    command = [sys.executable, "-m", f"deploy.{name}", "--venv", str(venv), "--within", "-20"]
    env = {**os.environ, "CXX": "/nowhere/c++", "PATH": "/nowhere"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and not venv.exists()
    assert done.stderr.startswith(f"{name}: not installed: {lacks}")
    assert len(done.stderr.splitlines()) == 1
