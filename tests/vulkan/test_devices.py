"""What of a model is on a Vulkan device and what is not, and machines where there is none."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mimo_edge.bundle.default_bundle import find_bundle
from mimo_edge.bundle.files import load_manifest
from mimo_edge.engine import Engine
from mimo_edge.errors import NoMemoryError
from mimo_edge.model import MimoAudio
from mimo_edge.stages.machine.gpu import Gpu, chosen_gpus
from mimo_edge.stages.machine.runtime_options import RuntimeOptions
from mimo_edge.tasks import Overrides
from tests.conftest import EXACT

pytestmark = pytest.mark.vulkan

ASK = ("text", "What is two plus three?", "--seed", "2")
ANSWER = "two plus three is five"


def run(*arguments: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
    """`mimo-edge …` with the demo model, in another environment; None removes a variable."""
    variables = {**os.environ, **environment}
    return subprocess.run(
        [sys.executable, "-m", "mimo_edge", *arguments],
        env={name: value for name, value in variables.items() if value is not None},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_what_is_found(gpu: Gpu) -> None:
    assert gpu.name == "Vulkan0" and 0 < gpu.free <= gpu.total
    by_itself = chosen_gpus(RuntimeOptions())
    assert (gpu in by_itself) is not gpu.software
    assert [found.name for found in chosen_gpus(RuntimeOptions(device="gpu"))] == [gpu.name]
    text = run("info").stdout
    assert f"Vulkan0: {gpu.description}" in text and "GB free" in text


@pytest.mark.parametrize(("device", "touched"), [("cpu", False), ("Vulkan0", True)])
def test_the_processor_alone(
    gpu: Gpu, device: str, touched: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even the products of a long prompt go to the device, as llama.cpp would have it."""
    with caplog.at_level(logging.DEBUG, logger="mimo_edge.stages.llama.log"):
        options = RuntimeOptions(device=device, context=384)
        with (
            MimoAudio.load(find_bundle(None), options) as model,
            model.session(reply="text", overrides=Overrides(seed=2)) as session,
        ):
            assert session.ask(text="What is two plus three?").text == ANSWER
    assert any("using device Vulkan0" in message for message in caplog.messages) is touched
    assert any("Vulkan0 compute buffer" in message for message in caplog.messages) is touched


@pytest.mark.parametrize("layers", [1, 2])
def test_a_part_of_the_layers(
    gpu: Gpu, engine: Engine, reference_bundle: Path, layers: int
) -> None:
    """The others compute on the processor, and the numbers are those of all on one device."""
    options = replace(EXACT, device=gpu.name, gpu_layers=layers)
    outputs = []
    split = Engine.load(reference_bundle, options)
    rows = engine.backbone.embed(np.arange(40, dtype=np.int32))
    for backbone in (engine.backbone, split.backbone):
        sequence = backbone.new_sequence()
        ((output,),) = backbone.evaluate([(sequence, rows, 1)])
        outputs.append(output)
        sequence.close()
    split.close()
    scale = np.abs(outputs[0].logits).max()
    assert np.abs(outputs[0].logits - outputs[1].logits).max() <= 1e-3 * scale


def test_no_driver(gpu: Gpu) -> None:
    """llama.cpp with Vulkan runs on the processor; a GPU that is asked for is one sentence."""
    nothing = {"VK_ICD_FILENAMES": "/nonexistent.json", "VK_DRIVER_FILES": "/nonexistent.json"}
    done = run(*ASK, **nothing)
    assert done.returncode == 0 and done.stdout.strip() == ANSWER, done.stderr
    done = run(*ASK, "--device", "gpu", **nothing)
    assert done.returncode == 1
    assert "finds none through Vulkan; install the GPU's driver" in done.stderr.splitlines()[-1]


def test_a_software_device_that_nobody_asked_for(gpu: Gpu) -> None:
    if not gpu.software:
        pytest.skip("this machine has a GPU")
    done = run(*ASK)
    assert done.returncode == 0 and done.stdout.strip() == ANSWER and not done.stderr
    for _ in range(4):  # batches of several outputs ended the process now and then
        done = run(*ASK, "--device", "gpu")
        assert done.returncode == 0 and done.stdout.strip() == ANSWER
    assert "is no GPU but a program on the processor" in done.stderr
    assert done.stderr.count("\n") == 1
    done = run(*ASK, "--device", "gpu", GGML_VK_VISIBLE_DEVICES=None)
    assert done.returncode == 1 and "finds none through Vulkan" in done.stderr


def test_no_memory_on_the_device(gpu: Gpu) -> None:
    """One sentence; some layers of a model that does not fit whole are no fault."""
    bytes_of_position = load_manifest(find_bundle(None)).backbone.cached_values * 2
    options = RuntimeOptions(device=gpu.name, cache_positions=gpu.total * 5 // bytes_of_position)
    with pytest.raises(NoMemoryError, match=r"the GPU has too little free memory \(.* GB\)"):
        MimoAudio.load(find_bundle(None), options)
