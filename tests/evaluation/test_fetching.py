"""Data from a hub, which here is one on this machine."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mimo_edge.evaluation.benchmarks import BENCHMARKS, benchmark
from mimo_edge.evaluation.fetching import SOURCES
from tests.evaluation import layouts
from tests.evaluation.conftest import DATA
from tests.tools.hub_client import environment
from tests.tools.hub_server import Hub, hub_server

# huggingface_hub reads its environment when it is imported, hence a process of its own.
FETCH = """
import sys
from pathlib import Path
from mimo_edge.errors import MimoEdgeError
from mimo_edge.evaluation.fetching import fetch
try:
    fetch(sys.argv[2:], Path(sys.argv[1]))
except MimoEdgeError as error:
    print(error)
    sys.exit(3)
"""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """Two of the published sets, with their archives."""
    mmlu, mmar, made = tmp_path / "mmlu", tmp_path / "mmar", tmp_path / "made"
    mmlu.mkdir()
    mmar.mkdir()
    for file in (DATA / "SpeechMMLU").glob("*.json*"):
        (mmlu / file.name).write_bytes(file.read_bytes())
    with tarfile.open(mmlu / "audio.tar.gz", "w:gz") as tar:
        tar.add(DATA / "SpeechMMLU" / "audio", "audio")
    layouts.mmar(made, layouts.questions(2))
    (mmar / "MMAR-meta.json").write_bytes((made / "MMAR" / "MMAR-meta.json").read_bytes())
    with tarfile.open(mmar / "mmar-audio.tar.gz", "w:gz") as tar:
        tar.add(made / "MMAR" / "audio", "audio")
    (mmar / "other.bin").write_bytes(b"not wanted")
    repositories = {
        SOURCES["speechmmlu"].repository: mmlu,
        SOURCES["mmar"].repository: mmar,
    }
    with hub_server(repositories) as hub:
        yield hub


def fetch(hub: Hub, home: Path, data: Path, *names: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", FETCH, str(data), *names],
        env=environment(hub, home, HF_HUB_DISABLE_XET="1"),
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout.strip()


def test_data_are_fetched_unpacked_and_read(hub: Hub, tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert fetch(hub, tmp_path, data, "speechmmlu-s2s", "speechmmlu-t2t", "mmar") == (0, "")
    assert len(benchmark("speechmmlu-s2s").load(data, 2)) == 48
    assert len(benchmark("mmar").load(data, 0)) == 2
    assert not (data / "MMAR" / "other.bin").exists()
    assert not any(hub.tokens["hub"] - {""})
    before = len(hub.files())
    (data / "SpeechMMLU" / "audio" / "audio" / "sums" / "data" / "sums_0.mp3").unlink()
    assert fetch(hub, tmp_path, data, "mmar") == (0, "")  # what is there is not fetched again
    assert len(hub.files()) == before


def test_what_cannot_be_had_is_one_sentence(hub: Hub, tmp_path: Path) -> None:
    status, said = fetch(hub, tmp_path, tmp_path / "data", "bigbench-s2t")
    assert status == 3 and "ArtificialAnalysis/big_bench_audio cannot be fetched" in said
    hub.repos[SOURCES["mmar"].repository].joinpath("mmar-audio.tar.gz").write_bytes(b"no archive")
    status, said = fetch(hub, tmp_path, tmp_path / "data", "mmar")
    assert status == 3 and "mmar-audio.tar.gz cannot be unpacked" in said


def test_every_benchmark_has_a_source() -> None:
    assert {name.partition("-")[0] for name in BENCHMARKS} == set(SOURCES)
