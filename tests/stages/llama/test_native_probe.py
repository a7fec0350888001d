"""A llama.cpp that crashes on this processor is found out by a child and told in a sentence."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mimo_edge.errors import MimoEdgeError
from mimo_edge.stages.llama import native_probe
from tests.tools.command_line import Command

ROOT = Path(__file__).parent.parent.parent.parent
NO_AMX = "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"

# What the probe's child is replaced by: it dies as AMX kernels do that were miscompiled.
DYING = "#!/bin/sh\nkill -ILL $$\n"


@pytest.fixture
def crashing_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interpreter = tmp_path / "python"
    interpreter.write_text(DYING)
    interpreter.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(interpreter))
    native_probe.native_complaint.cache_clear()


@pytest.mark.parametrize("repack", (False, True))
def test_the_llama_cpp_of_these_tests_runs_here(repack: bool) -> None:
    """Also with repacked weights, which on some Intel processors means AMX."""
    native_probe.native_complaint.cache_clear()
    assert native_probe.native_complaint(repack=repack) is None


def test_the_users_folder_has_no_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script there may be called like a package of ours."""
    for name in ("numpy", "mimo_edge", "runpy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    native_probe.native_complaint.cache_clear()
    assert native_probe.native_complaint(repack=False) is None


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to die of")
def test_repacking_is_refused_where_it_would_crash(
    crashing_child: None, command: Command, tmp_path: Path
) -> None:
    done = command("speak", "Hello.", "-o", tmp_path / "x.wav", "--repack")
    assert "illegal instruction" in done.sentence and "-mno-amx-tile" in done.sentence
    assert not (tmp_path / "x.wav").exists()
    with pytest.raises(MimoEdgeError, match="repacked"):
        native_probe.check_repacked()
    native_probe.native_complaint.cache_clear()


def flags_of_make(compiler: str) -> str:
    """What the Makefile adds when this compiler builds llama.cpp."""
    makefile = f"CXX := {compiler}\ninclude Makefile\nshow: ; @echo '$(WITHOUT_AMX)'\n"
    done = subprocess.run(
        ["make", "-s", "-f", "-", "show"],
        input=makefile,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
@pytest.mark.parametrize(
    ("macros", "without"),
    [
        ("-D__x86_64__ -D__GNUC__=12 -D__GNUC_MINOR__=2", True),
        ("-D__x86_64__ -D__GNUC__=12 -D__GNUC_MINOR__=4", False),
        ("-D__x86_64__ -D__GNUC__=13 -D__GNUC_MINOR__=2", True),
        ("-D__x86_64__ -D__GNUC__=13 -D__GNUC_MINOR__=3", False),
        ("-D__x86_64__ -D__GNUC__=11 -D__GNUC_MINOR__=4", True),
        ("-D__x86_64__ -D__GNUC__=10 -D__GNUC_MINOR__=2", False),  # knows no AMX at all
        ("-D__x86_64__ -D__GNUC__=14 -D__GNUC_MINOR__=1", False),
        ("-D__aarch64__ -D__GNUC__=12 -D__GNUC_MINOR__=2", False),
        ("-D__x86_64__ -D__GNUC__=4 -D__GNUC_MINOR__=2 -D__clang__", False),
    ],
)
def test_llama_cpp_is_built_without_amx_where_the_compiler_is_at_fault(
    macros: str, without: bool, tmp_path: Path
) -> None:
    if not shutil.which("cpp"):
        pytest.skip("needs the C preprocessor, to play compilers of other versions")
    compiler = tmp_path / "c++"
    compiler.write_text(f'#!/bin/sh\nexec cpp -undef {macros} -P "$@"\n')
    compiler.chmod(0o755)
    assert flags_of_make(str(compiler)) == (NO_AMX if without else "")


def test_those_flags_take_amx_away_from_a_sapphire_rapids(tmp_path: Path) -> None:
    """Also beside the processor's own flag, which llama.cpp's build adds behind them."""
    gcc = shutil.which("gcc")
    macros = [gcc or "", "-march=sapphirerapids", "-dM", "-E", "-x", "c", os.devnull]
    found = subprocess.run(macros, capture_output=True, text=True) if gcc else None
    if found is None or "__AMX_TILE__" not in found.stdout:
        pytest.skip("needs a GCC for x86-64 that knows AMX")
    macros[1:1] = NO_AMX.split()
    assert "__AMX_TILE__" not in subprocess.run(macros, capture_output=True, text=True).stdout
