"""`mimo-edge info`: what it says of a machine, before a download and after."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from mimo_edge.measure import machine
from mimo_edge.measure.released import PART_BYTES
from tests.tools.command_line import Command

RECIPES = list(PART_BYTES)
"""From the smallest to the largest."""


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A machine with so much memory, all of it free, of such a speed; GB and GB/s."""

    def pretend(memory: float, speed: float, *, gpu: bool = False, cores: int = 8) -> None:
        size = SimpleNamespace(total=int(memory * 1e9), available=int(memory * 1e9))
        monkeypatch.setattr(psutil, "virtual_memory", lambda: size)
        monkeypatch.setattr(machine, "measure_bandwidth", lambda threads: speed * 1e9)
        monkeypatch.setattr(machine, "fast_cores", lambda: cores)
        monkeypatch.setattr(machine, "gpu_layers", lambda options: -1 if gpu else 0)

    return pretend


def released(command: Command) -> dict[str, dict[str, Any]]:
    record = json.loads(command("info", "--json").out)
    return {entry["recipe"]: entry for entry in record["released"]}


def test_a_laptop_that_is_too_slow(command: Command, pretend: Any) -> None:
    """The one of the README: two cores, 33 GB/s."""
    pretend(16, 33, cores=2)
    needs = released(command)
    assert list(needs) == RECIPES
    seconds = needs["default"]["seconds_per_second_of_speech"]
    assert 1 < seconds["speak"] < seconds["dialogue"] < 3
    words = f"{seconds['dialogue']:.1f} times slower"
    assert needs["default"]["speed"] == words
    assert needs["default"]["fits"] == "fits"
    assert needs["reference"]["fits"].startswith("does NOT fit")
    text = command("info").out
    for part in (words, f"{seconds['speak']:.1f} s", "21 GB of download", "15.2 GB"):
        assert part in text
    assert "Nobody has run" in text


def test_a_fast_machine(command: Command, pretend: Any) -> None:
    pretend(64, 200)
    needs = released(command)["default"]
    assert needs["speed"] == "real time"
    pretend(64, 50)  # so slow that it, and not the arithmetic, limits
    slow = released(command)["default"]["seconds_per_second_of_speech"]["dialogue"]
    needed = 50 * slow  # GB/s for real time, just
    pretend(64, 1.1 * needed)
    assert released(command)["default"]["speed"] == "real time, just"
    pretend(64, 1.1 * needed, gpu=True)
    assert released(command)["default"]["speed"] == "real time"


def test_devices_and_where_each_part_runs(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before and after they were timed; what was found is there for the next command."""
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path / "cache")
    before = json.loads(command("info", "--json").out)["devices"]
    assert "cpu" in before["providers"]
    parts = ["backbone", "patch_decoder", "patch_encoder", "audio_encoder", "audio_decoder"]
    assert list(before["parts"]) == parts
    assert all(part["seconds"] == {} for part in before["parts"].values())
    text = command("info").out
    assert "not measured" in text and "mimo-edge info --measure" in text
    assert "with other packages: coreml, webgpu" in text

    command("info", "--measure")
    after = json.loads(command("info", "--json").out)["devices"]
    for part in after["parts"].values():
        assert part["seconds"]["cpu"] > 0
    text = command("info").out
    assert "ms a second of sound" in text and "info --measure" not in text


def test_what_was_measured_is_shown_where_it_cannot_be_kept(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path / "file")
    shown = command("info", "--measure")
    assert shown.status == 0 and "ms a second of sound" in shown.out
    assert "cannot be written" in shown.err and "Traceback" not in shown.err


def test_a_device_that_is_not_there(command: Command) -> None:
    sentence = command("info", "--device", "Vulkan9").sentence
    assert "there is no device 'Vulkan9' on this machine; there are: auto, cpu" in sentence


def test_other_machines(command: Command, pretend: Any) -> None:
    """A slow machine tells, too, what the model does on a faster one."""
    pretend(16, 33)
    table = json.loads(command("info", "--json").out)["released_by_bandwidth"]
    assert table["gb_s"] == [30, 45, 60, 90, 120]
    for recipe in table["recipes"]:
        for kind in ("dialogue", "speak"):
            seconds = recipe["seconds"][kind]
            assert seconds == sorted(seconds, reverse=True)
            # The bytes that are read take a part of that time.
            assert recipe["gigabytes"][kind] / 30 < seconds[0]
    assert [recipe["recipe"] for recipe in table["recipes"]] == RECIPES
    line = next(line for line in command("info").out.splitlines() if line.startswith("120 "))
    assert f"{table['recipes'][1]['seconds']['dialogue'][-1]:.2f} ·" in line


def test_a_small_machine(command: Command, pretend: Any) -> None:
    pretend(6, 33)
    assert released(command)["small"]["fits"].startswith("does NOT fit")
    text = command("info").out
    assert "6.0 GB of memory" in text and "does NOT fit" in text


def test_no_room_to_measure(
    command: Command, pretend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(threads: int) -> float:
        raise MemoryError

    pretend(1, 33)
    monkeypatch.setattr(machine, "measure_bandwidth", full)
    result = command("info")
    assert result.status == 0 and "not known" in result.out and "too full" in result.out
    assert released(command)["default"]["speed"] is None


def test_the_bundle_itself(command: Command, pretend: Any, default_bundle: Path) -> None:
    pretend(16, 33)
    record = json.loads(command("info", default_bundle, "--json").out)
    assert record["fits"] == "fits" and record["memory"]["weights"] > 1e6
    assert record["machine"]["bandwidth"] == 33e9
    # So small that the processor's caches hold it.
    assert record["seconds_per_second_of_speech"] == {"dialogue": None, "speak": None}
    assert "a second of its speech" not in command("info", default_bundle).out


def test_a_server_whose_patch_decoder_has_four_threads(
    command: Command, pretend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(64, 200)
    wide = released(command)["default"]["seconds_per_second_of_speech"]["dialogue"]
    monkeypatch.setattr(machine, "fast_cores", lambda: 32)
    monkeypatch.setattr(machine, "measure_bandwidth", lambda threads: 6.25e9 * threads)
    narrow = released(command)["default"]["seconds_per_second_of_speech"]["dialogue"]
    assert narrow > 2 * wide


def test_without_the_packages_for_converting(default_bundle: Path) -> None:
    """Whoever decides about a download has not installed them yet."""
    hidden = ("ml_dtypes", "onnx_ir", "safetensors", "huggingface_hub", "convert")
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({hidden!r})); "
        "from mimo_edge.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "info", str(default_bundle)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ},
    )
    assert done.returncode == 0, done.stderr
    assert "for a second of dialogue" in done.stdout
