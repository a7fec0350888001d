"""A model in processes that were forked and spawned, and what else a process notices of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.tools.children import run_child
from tests.tools.wrong_use import PRELUDE

FORK = """
import multiprocessing

def child(ask):
    try:
        ask()
    except MimoEdgeError as error:
        os.write(1, f"{error}\\n".encode())
        raise SystemExit(3)

def forked(ask):
    pid = os.fork()
    if not pid:
        child(ask)
        sys.exit()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def by_multiprocessing(ask):
    process = multiprocessing.get_context("fork").Process(target=child, args=(ask,))
    process.start()
    process.join()
    return process.exitcode

assert forked(lambda: load().session(overrides=short).ask(clip)) == 0  # nothing is loaded yet
model = load()
session = model.session(overrides=short)
session.ask(clip)
for start in (forked, by_multiprocessing):
    assert start(lambda: None) == 0
    assert start(lambda: session.close() or model.close()) == 0
    assert start(lambda: session.ask(clip)) == 3
    assert start(lambda: model.encode(clip)) == 3
    assert start(lambda: model.session()) == 3
    assert start(load) == 3
assert session.ask(text="And then?").stats.text_tokens
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_is_told(default_bundle: Path, clips: dict[str, Path]) -> None:
    """It would wait for threads that a fork does not copy; the parent goes on."""
    child = run_child(PRELUDE + FORK, default_bundle, clips["short"])
    assert child.status == 0, child
    lines = child.out.splitlines()
    assert len(lines) == 8 and all("forked" in line and "spawn" in line for line in lines), lines


SPAWN = """
import multiprocessing

def ask(bundle, clip):
    with MimoAudio.load(bundle, options) as model:
        return model.session(overrides=short).ask(clip).text

if __name__ == "__main__":
    here = ask(bundle, clip)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(ask, (bundle, clip)) == here
    print("as it should")
"""


def test_a_spawned_process_works(
    tmp_path: Path, default_bundle: Path, clips: dict[str, Path]
) -> None:
    script = tmp_path / "spawn.py"
    script.write_text(PRELUDE + SPAWN)
    start = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, *sys.argv[1:]]))"
    child = run_child(start, script, default_bundle, clips["short"])
    assert child.status == 0 and child.out == "as it should\n", child


def test_more_threads_than_processors(default_bundle: Path, clips: dict[str, Path]) -> None:
    """They would wait for each other without end; there is a notice, and the answer."""
    code = """
options = RuntimeOptions(threads=512, context=512, device="cpu")
print(MimoAudio.load(bundle, options).transcribe(clip, overrides=short).stats.text_tokens > 0)
"""
    child = run_child(PRELUDE + code, default_bundle, clips["short"])
    assert child.status == 0 and child.out == "True\n", child
    assert "512 threads are more than the" in child.err and len(child.err.splitlines()) == 1


def test_onnxruntime_sends_nothing() -> None:
    """Its telemetry is off before it is imported, unless somebody turned it on."""
    code = "import mimo_edge.stages.graphs.graph, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    assert run_child(code).out == "1\n"
