"""llama.cpp's libraries for processors come from where it is installed, and from nowhere else."""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
from pathlib import Path

import llama_cpp
import pytest

from mimo_edge.errors import MimoEdgeError
from mimo_edge.stages.llama.libraries import load_libraries

_FOLDER = Path(llama_cpp.__file__).parent / "lib"


class _Ggml:
    """Stands for a llama.cpp that has no processor in itself; keeps what it is asked to load."""

    def __init__(self, *, runs_here: bool) -> None:
        self.folders: list[bytes] = []
        loaded = ctypes.c_size_t(0)
        registered = ctypes.CFUNCTYPE(ctypes.c_size_t)
        loading = ctypes.CFUNCTYPE(None, ctypes.c_char_p)

        def load(folder: bytes) -> None:
            self.folders.append(folder)
            loaded.value = int(runs_here)

        self.ggml_backend_reg_count = registered(lambda: loaded.value)
        self.ggml_backend_load_all_from_path = loading(load)


def test_they_are_loaded_once_from_the_folder_of_llama_cpp(monkeypatch: pytest.MonkeyPatch) -> None:
    ggml = _Ggml(runs_here=True)
    monkeypatch.setattr("llama_cpp._ggml.libggml", ggml)
    load_libraries()
    load_libraries()
    assert [Path(folder.decode()) for folder in ggml.folders] == [_FOLDER]


def test_none_that_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llama_cpp._ggml.libggml", _Ggml(runs_here=False))
    with pytest.raises(MimoEdgeError, match=r"no library in .*lib runs on this processor; install"):
        load_libraries()


_of_many = pytest.mark.skipif(
    not list(_FOLDER.glob("*ggml-cpu-*")),
    reason="this llama.cpp was built for one processor, without libraries of its own for each",
)


@_of_many
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux which libraries are in use")
def test_the_best_library_for_this_processor_is_taken() -> None:
    load_libraries()
    used = set(re.findall(r"libggml-cpu-(\w+)\.so", Path("/proc/self/maps").read_text()))
    simple = {"x64", "sse42", "sandybridge", "ivybridge", "piledriver"}
    assert len(used) == 1
    if " avx2 " in Path("/proc/cpuinfo").read_text():
        assert not used & simple


@_of_many
def test_a_library_in_the_current_folder_is_left_alone(tmp_path: Path) -> None:
    """Where llama.cpp itself would look."""
    source = tmp_path / "evil.c"
    source.write_text(
        "#include <stdlib.h>\n__attribute__((constructor)) static void f(void) { _Exit(77); }\n"
    )
    library = tmp_path / "libggml-cpu-evil.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    look = "from mimo_edge.stages.llama.native_probe import kernels; print(kernels())"
    done = subprocess.run(
        [sys.executable, "-c", look], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and "CPU" in done.stdout
