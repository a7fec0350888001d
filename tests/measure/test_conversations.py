"""`bench --conversations`: which figures there are, and that they can be true; no times."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from mimo_edge.bundle.files import load_manifest
from mimo_edge.engine import Engine
from mimo_edge.errors import MimoEdgeError
from mimo_edge.measure.conversations import check_counts, measure_conversations
from mimo_edge.measure.speaking_at_once import PATCHES, measure_arrival, speak
from mimo_edge.stages.machine.runtime_options import RuntimeOptions
from tests.tools.command_line import Command

OPTIONS = RuntimeOptions(threads=1, context=256, device="cpu")


@pytest.mark.parametrize("threads", (False, True))
def test_all_answers_speak_whatever_the_weights_are(engine: Engine, threads: bool) -> None:
    spoken = speak(engine, 3, threads=threads)
    assert len(spoken.patch_times) == 3
    all_speak = max(times[0] for times in spoken.patch_times)
    for times in spoken.patch_times:
        assert times == sorted(times) and times[0] > spoken.began
        assert sum(time > all_speak for time in times) >= PATCHES
    assert 0 < spoken.private <= spoken.resident


def test_an_answer_goes_on_while_a_long_prompt_arrives(engine: Engine) -> None:
    arrival = measure_arrival(engine)
    assert arrival.patches == 188
    assert 0 < arrival.piece_positions < arrival.patches
    assert arrival.usual_gap > 0 and arrival.piece_seconds > 0
    # Its gaps lie within that time: the answer does not stand still until the prompt is in.
    assert 0 < arrival.worst_gap < arrival.first_patch


def test_the_command(command: Command, default_bundle: Path) -> None:
    options = ("bench", default_bundle, "--runs", "1", "--threads", "1", "--ctx", "256")
    done = command(*options, "--conversations", "2,1", "--json")
    assert done.status == 0, done.err
    records = [json.loads(line) for line in done.out.splitlines()]
    at_once = [record for record in records if record["stage"] == "answers at once"]
    assert [(record["conversations"], record["way"]) for record in at_once] == [
        (1, "together"),
        *((2, way) for way in ("together", "threads", "processes")),
    ]
    for record in at_once:
        assert record["patches"] > record["conversations"] * PATCHES
        for figure in ("patches_per_second", "ratio", "worst_gap", "first_patch", "resident"):
            assert record[figure] > 0, figure
    one, together, threads, processes = at_once
    assert one["ratio"] == 1
    # The weights are read once for both, so that one patch reads little more than half of them.
    assert one["bytes_per_patch"] == processes["bytes_per_patch"]
    assert one["bytes_per_patch"] < 2 * together["bytes_per_patch"] < 1.2 * one["bytes_per_patch"]
    assert together["bytes_per_patch"] == threads["bytes_per_patch"]
    assert processes["resident"] > 1.5 * one["resident"]
    assert records[-1]["stage"] == "a prompt beside an answer"
    assert records[-1]["patches"] == 188 and records[-1]["worst_gap"] > 0


def test_the_command_prints_a_table(command: Command, default_bundle: Path) -> None:
    options = ("--runs", "1", "--threads", "1", "--ctx", "256", "--no-processes")
    done = command("bench", default_bundle, *options, "--conversations", "2")
    assert done.status == 0, done.err
    rows = done.out[done.out.index("conversations") :].splitlines()
    assert [row.split()[0] for row in rows[1:4]] == ["1", "2", "2"]
    assert "together, a thread each" in rows[3] and "a process each" not in done.out
    assert rows[-1].startswith("while a prompt of 188 patches arrives")


def test_what_cannot_be_measured_is_refused_first(command: Command, default_bundle: Path) -> None:
    bench = ("bench", default_bundle, "--conversations")
    assert "give 1 to 64" in command(*bench, "1,0").sentence
    assert "give 1 to 64" in command(*bench, "65").sentence
    assert "give at least 189" in command(*bench, "2", "--ctx", "188").sentence
    assert command(*bench, "two").status == 2


def test_a_process_that_cannot_load_the_model_says_why(default_bundle: Path) -> None:
    manifest = load_manifest(default_bundle)
    check_counts(manifest, OPTIONS, [1])
    with pytest.raises(MimoEdgeError, match="nowhere"):
        measure_conversations(default_bundle / "nowhere", manifest, OPTIONS, [1], 1)


def test_processes_for_which_there_is_no_memory_are_left_out(
    default_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen only by this process: those that measure look at the memory there is."""
    manifest = load_manifest(default_bundle)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1_000_000))
    found = measure_conversations(default_bundle, manifest, OPTIONS, [2], 1)
    assert [figures.way for figures in found.at_once] == ["together", "together", "threads"]
    (sentence,) = found.left_out
    assert sentence.startswith("2 processes were not measured: there is not enough memory")
