"""When weights are repacked, and that this makes no second copy of them."""

from __future__ import annotations

import dataclasses
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from mimo_edge import MimoAudio, Overrides, Speak
from mimo_edge.bundle.files import load_manifest
from mimo_edge.bundle.manifest import BACKBONE_FILE, Manifest
from mimo_edge.stages.llama import native_probe
from mimo_edge.stages.machine.placement import LARGE_BYTES
from mimo_edge.stages.machine.repacking import repacks
from mimo_edge.stages.machine.runtime_options import RuntimeOptions

DECIDE = RuntimeOptions(device="cpu", repack=None)


def large(bundle: Path) -> Manifest:
    """The manifest of a bundle, as if its backbone were large."""
    manifest = load_manifest(bundle)
    files = tuple(
        dataclasses.replace(file, size=LARGE_BYTES + 1) if file.name == BACKBONE_FILE else file
        for file in manifest.files
    )
    return dataclasses.replace(manifest, files=files)


@pytest.fixture
def with_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor and a llama.cpp of the kind that was measured, whatever this one is."""
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(
        "mimo_edge.stages.machine.repacking.kernels", lambda: "AVX2 = 1 | REPACK = 1 |"
    )
    native_probe.native_complaint.cache_clear()


def test_a_large_model_is_repacked_if_asked_to_decide(
    default_bundle: Path, with_kernels: None
) -> None:
    assert repacks(large(default_bundle), DECIDE, 1)


def test_a_small_one_is_not(default_bundle: Path, with_kernels: None) -> None:
    assert not repacks(load_manifest(default_bundle), DECIDE, 1)


def test_it_is_not_decided_for_whoever_did_not_ask(
    default_bundle: Path, with_kernels: None
) -> None:
    assert not repacks(large(default_bundle), RuntimeOptions(device="cpu"), 1)


def test_floats_and_other_processors_stay_as_they_are(
    default_bundle: Path, reference_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not repacks(large(reference_bundle), DECIDE, 1)
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert not repacks(large(default_bundle), DECIDE, 1)


def test_weights_stay_mapped_where_memory_is_short(
    default_bundle: Path, with_kernels: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mapped ones can be read from the file again, repacked ones cannot."""
    free = SimpleNamespace(available=LARGE_BYTES, total=2 * LARGE_BYTES)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    assert not repacks(large(default_bundle), DECIDE, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is in memory of a file")
def test_repacked_weights_are_the_only_copy(default_bundle: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(default_bundle, bundle)
    resident = []
    for repack in (False, True):
        with MimoAudio.load(bundle, RuntimeOptions(device="cpu", repack=repack)) as model:
            model.run(Speak(text="Hello.", overrides=Overrides(max_new_tokens=4)))
            resident.append(resident_of(bundle / BACKBONE_FILE))
    mapped, repacked = resident
    assert repacked < mapped / 2  # the rows of text ids are looked up in the file either way


def resident_of(path: Path) -> int:
    """kB of a file that this process has in memory."""
    found = 0
    for block in re.split(r"\n(?=[0-9a-f]+-)", Path("/proc/self/smaps").read_text()):
        first, *fields = block.splitlines()
        if first.endswith(str(path)):
            found += sum(int(field.split()[1]) for field in fields if field.startswith("Rss:"))
    return found
