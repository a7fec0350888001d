"""Too little memory is a sentence: native code that finds none would end the process."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from mimo_edge.errors import MimoEdgeError
from mimo_edge.model import MimoAudio
from mimo_edge.stages.machine.runtime_options import RuntimeOptions
from mimo_edge.system.memory import check_memory
from tests.system.test_cores import write_kernel_files
from tests.tools.children import run_child

LIMITS = """
import resource, sys
import numpy as np
from mimo_edge.stages.machine.runtime_options import RuntimeOptions
from mimo_edge.errors import MimoEdgeError
from mimo_edge.model import MimoAudio
from mimo_edge.tasks import Overrides

bundle, what, folder, *limits = sys.argv[1:]
options = RuntimeOptions(threads=2, context=512, device="cpu")
short = Overrides(max_new_tokens=24, seed=7)
noise = np.random.default_rng(0).standard_normal(24000 * 40).astype(np.float32) * 0.1
model = MimoAudio.load(bundle, options)  # imports what is imported late
session = model.session(overrides=short) if what in ("answer", "save") else None
if what == "save":
    session.ask(text="Hello.")
if what == "decode":
    codes = model.encode(noise)
calls = {
    "load": lambda: MimoAudio.load(bundle, options).close(),
    "session": lambda: model.session(overrides=short).ask(text="Hello."),
    "answer": lambda: session.ask(noise[:24000]),
    "encode": lambda: model.encode(noise),
    "decode": lambda: model.decode(codes),
    "save": lambda: session.save(folder + "/kept.npz"),
}
for limit in map(int, limits):
    with open("/proc/self/statm") as statm:
        size = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + limit * 1_000_000, resource.RLIM_INFINITY))
    told = ""
    try:
        calls[what]()
    except (MimoEdgeError, MemoryError) as error:
        told = str(error) if isinstance(error, MimoEdgeError) else "no memory"
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(limit, told, flush=True)
"""


ONLY_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no such limit")


@ONLY_LINUX
@pytest.mark.parametrize("what", ["load", "session", "answer", "encode", "decode", "save"])
def test_little_memory_is_a_sentence(what: str, default_bundle: Path, tmp_path: Path) -> None:
    """At no limit does the process end, and without one it goes on as if nothing had been."""
    limits = (0, 1, 4, 16, 40, 60, 100, 160, 240, 1000)
    child = run_child(LIMITS, default_bundle, what, tmp_path, *limits)
    assert child.status == 0 and not child.err, child
    lines = dict(line.split(" ", 1) for line in child.out.splitlines())
    assert len(lines) == len(limits) and not lines.pop("1000"), child.out
    assert all("memory" in told for told in lines.values() if told), child.out
    assert what == "save" or lines["0"], child.out


@ONLY_LINUX
@pytest.mark.parametrize("limit", [70, 90, 110, 180])
def test_the_first_answer_has_no_addresses_for_threads(
    limit: int, default_bundle: Path, tmp_path: Path
) -> None:
    """With the first answer come threads, and each takes addresses for a stack and a heap."""
    child = run_child(LIMITS, default_bundle, "session", tmp_path, limit, 1000)
    assert child.status == 0 and not child.err, child
    assert "memory" in child.out.splitlines()[0] and child.out.splitlines()[1] == "1000 ", child.out


STATISTICS = "inactive_file 70000000\nanon 5\nactive_file 30000000\n"


@pytest.mark.parametrize("what", ["available", "v2", "v2 of a group above", "v1"])
def test_what_is_free(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the machine and of the container, less what only files take there."""
    files: tuple[tuple[str, str], ...]
    free = 50e9 if what != "available" else 700e6
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
    if what == "v2":
        files = ("own", "0::/a/b"), ("fs/a/b/memory.max", "1000000000"), ("fs/memory.max", "max")
        used = (
            ("fs/a/b/memory.current", "400000000"),
            ("fs/a/b/memory.stat", STATISTICS),
        )
    elif what == "v2 of a group above":
        files = ("own", "0::/a/b"), ("fs/a/memory.max", "1000000000"), ("fs/a/b/memory.max", "max")
        used = ("fs/a/memory.current", "400000000"), ("fs/a/memory.stat", STATISTICS)
    else:
        files = ("own", "3:cpu:/\n4:memory:/a"), ("fs/memory/memory.limit_in_bytes", "1000000000")
        used = ("fs/memory/memory.usage_in_bytes", "300000000"), ("fs/memory/memory.stat", "x")
    if what != "available":
        write_kernel_files(tmp_path, dict((*files, *used)))
    mapped = 1e15 if sys.platform == "win32" else 0
    check_memory("it", 699e6, mapped=mapped, root=tmp_path)
    with pytest.raises(MimoEdgeError, match="for it: it takes about 701 MB and 700 MB are free"):
        check_memory("it", 701e6, root=tmp_path)


def test_a_context_that_does_not_fit(default_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is loaded; a smaller one does."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=42e6))

    def load(**options: Any) -> None:
        MimoAudio.load(default_bundle, RuntimeOptions(threads=1, device="cpu", **options)).close()

    with pytest.raises(MimoEdgeError, match="a context of 8192 positions: it takes about"):
        load(context=8192, kv_type="f32")
    load(context=64)
