"""Which GPU a model is put on, and how much of it: with devices that llama.cpp might find."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from mimo_edge.bundle.files import load_manifest
from mimo_edge.errors import MimoEdgeError
from mimo_edge.stages.machine import gpu
from mimo_edge.stages.machine.gpu import Gpu, chosen_gpus, gpu_layers
from mimo_edge.stages.machine.gpu_room import layers_that_fit, settle_device
from mimo_edge.stages.machine.measured import Measured
from mimo_edge.stages.machine.memory_needs import MemoryNeeds
from mimo_edge.stages.machine.runtime_options import RuntimeOptions

CARD = Gpu(
    name="Vulkan0",
    description="NVIDIA GeForce RTX 4060",
    library="Vulkan",
    free=7 << 30,
    total=8 << 30,
    integrated=False,
    software=False,
)
OTHER_CARD = replace(CARD, name="Vulkan1", free=8 << 30)
CHIP = replace(CARD, name="Vulkan2", description="AMD Radeon Graphics (RADV)", integrated=True)
PROGRAM = replace(CARD, name="Vulkan3", description="llvmpipe (LLVM 15.0.6)", software=True)
APPLE = replace(CARD, name="MTL0", description="Apple M3", library="MTL")

Machine = Callable[..., None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine on which llama.cpp finds these devices."""

    def machine(*found: Gpu) -> None:
        monkeypatch.setattr(gpu, "gpus", lambda: list(found))

    return machine


@pytest.mark.parametrize(
    ("found", "device", "chosen"),
    [
        ([], "auto", []),
        ([CARD], "auto", [CARD]),
        ([CARD], "cpu", []),
        ([APPLE], "auto", [APPLE]),
        ([CHIP], "auto", [CHIP]),
        ([CHIP, CARD], "auto", [CARD]),
        ([PROGRAM], "auto", []),
        ([PROGRAM], "gpu", [PROGRAM]),
        ([PROGRAM, CHIP], "gpu", [CHIP]),
        ([PROGRAM, CARD], "vulkan3", [PROGRAM]),
        ([CARD, OTHER_CARD], "Vulkan1,Vulkan0", [OTHER_CARD, CARD]),
    ],
)
def test_which_is_used(machine: Machine, found: list[Gpu], device: str, chosen: list[Gpu]) -> None:
    machine(*found)
    options = RuntimeOptions(device=device)
    assert chosen_gpus(options) == chosen
    assert gpu_layers(options) == (-1 if chosen else 0)


def test_a_device_that_is_not_there(machine: Machine) -> None:
    machine(CARD)
    with pytest.raises(MimoEdgeError, match=r"no device 'Vulkan7' .* auto, cpu, gpu, Vulkan0\."):
        chosen_gpus(RuntimeOptions(device="Vulkan7"))
    machine()
    with pytest.raises(MimoEdgeError, match="a GPU is asked for, but"):
        chosen_gpus(RuntimeOptions(device="gpu"))
    with pytest.raises(MimoEdgeError, match=r"no device 'npu' .* there are: auto, cpu\."):
        chosen_gpus(RuntimeOptions(device="npu"))


def room(folder: Path, layers: int, options: RuntimeOptions) -> Gpu:
    """A card on which so many layers of a bundle fit, just."""
    manifest = load_manifest(folder)
    low, high = 0, 1 << 34
    while low < high:
        free = (low + high) // 2
        card = [replace(CARD, free=free, total=1)]
        if layers_that_fit(folder, manifest, options, card) < layers:
            low = free + 1
        else:
            high = free
    return replace(CARD, free=low, total=1)


def test_layers_that_do_not_fit_stay_on_the_processor(
    machine: Machine, default_bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options, manifest = RuntimeOptions(context=1024), load_manifest(default_bundle)
    whole = manifest.backbone.layers + 1
    machine(room(default_bundle, whole, options))
    settled = settle_device(default_bundle, manifest, options)
    assert (settled.device, settled.gpu_layers) == ("Vulkan0", whole)
    assert not caplog.records

    small = room(default_bundle, whole - 1, options)
    machine(small)
    settled = settle_device(default_bundle, manifest, options)
    assert (settled.device, settled.gpu_layers) == ("Vulkan0", whole - 1)
    assert f"{whole - 1} of {whole} layers have room on the GPU" in caplog.text
    # A longer conversation takes the room of layers, a smaller number type gives some back.
    longer = replace(options, context=8192, kv_type="f32")
    if manifest.backbone.max_positions >= 8192:
        assert settle_device(default_bundle, manifest, longer).gpu_layers < whole - 1
    assert settle_device(default_bundle, manifest, settled) == settled
    assert settle_device(default_bundle, manifest, replace(options, gpu_layers=1)).gpu_layers == 1


def test_two_cards_are_used_only_if_one_is_too_small(
    machine: Machine, default_bundle: Path
) -> None:
    options, manifest = RuntimeOptions(context=1024), load_manifest(default_bundle)
    machine(CARD, OTHER_CARD)
    assert settle_device(default_bundle, manifest, options).device == "Vulkan1"
    small = room(default_bundle, 2, options)
    machine(small, replace(small, name="Vulkan1"))
    assert settle_device(default_bundle, manifest, options).device == "Vulkan0,Vulkan1"


def test_no_memory_on_the_gpu(
    machine: Machine, default_bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine(replace(CARD, free=1 << 20))
    manifest = load_manifest(default_bundle)
    settled = settle_device(default_bundle, manifest, RuntimeOptions())
    assert settled.device == "cpu" and gpu_layers(settled) == 0
    assert "too little free memory (0.0 of 8.6 GB)" in caplog.text
    with pytest.raises(MimoEdgeError, match=r"too little free memory .* or run on the CPU\."):
        settle_device(default_bundle, manifest, RuntimeOptions(device="gpu"))


def test_a_program_on_the_processor_is_used_with_a_notice(
    machine: Machine, default_bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine(PROGRAM)
    manifest = load_manifest(default_bundle)
    with caplog.at_level(logging.WARNING):
        assert settle_device(default_bundle, manifest, RuntimeOptions()).device == "cpu"
        assert not caplog.records
        settled = settle_device(default_bundle, manifest, RuntimeOptions(device="gpu"))
    assert settled.device == "Vulkan3"
    assert "llvmpipe (LLVM 15.0.6) is no GPU but a program on the processor" in caplog.text


def test_a_gpu_that_was_measured_to_be_slower(machine: Machine, default_bundle: Path) -> None:
    machine(CHIP)
    manifest = load_manifest(default_bundle)
    slower = Measured(seconds={"backbone": {"cpu": 0.1, "Vulkan2": 0.2}})
    faster = Measured(seconds={"backbone": {"cpu": 0.2, "Vulkan2": 0.1}})
    for measured, device in ((slower, "cpu"), (faster, "Vulkan2"), (None, "Vulkan2")):
        settled = settle_device(default_bundle, manifest, RuntimeOptions(), measured)
        assert settled.device == device
    asked = settle_device(default_bundle, manifest, RuntimeOptions(device="gpu"), slower)
    assert asked.device == "Vulkan2"


def test_a_gpu_without_memory_of_its_own_fills_the_machines(
    machine: Machine, default_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = load_manifest(default_bundle)

    def needs(card: Gpu) -> MemoryNeeds:
        machine(card)
        options = RuntimeOptions(device=card.name, gpu_layers=manifest.backbone.layers + 1)
        return MemoryNeeds.of(manifest, options, 1, repack=False)

    assert needs(CARD).cache == 0 and needs(CARD).repacked == 0
    assert needs(CHIP).cache > 0 and needs(CHIP).repacked == manifest.backbone_bytes
    assert needs(APPLE).cache > 0 and needs(APPLE).repacked == 0  # it reads the mapped file
    # However much of it the driver offers.
    free = psutil.virtual_memory()._replace(available=1 << 20)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    options = RuntimeOptions()
    assert layers_that_fit(default_bundle, manifest, options, [CHIP]) == 0
    assert layers_that_fit(default_bundle, manifest, options, [CARD]) > 0
