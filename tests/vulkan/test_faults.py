"""A Vulkan device that refuses memory while a model is loaded onto it.

llama.cpp is told that the device gives no buffers beyond a size, as many a real one does, and finds
out when it asks for one. What is chosen without being asked for is a real GPU, which this machine
lacks: its software device counts as one here.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mimo_edge.stages.machine.gpu import Gpu

pytestmark = pytest.mark.vulkan

ASK = ("text", "What is two plus three?", "--seed", "2")
ANSWER = "two plus three is five"
AS_A_GPU = """
from mimo_edge.stages.machine import gpu
gpu._SOFTWARE = ()
from mimo_edge.__main__ import main
main()
"""
WEIGHTS, CACHE = 1_000, 100_000
"""Bytes that the weights, or only the cache, of the demo model exceed."""


def run(largest: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`mimo-edge text …`, where no buffer on the device is larger."""
    changes = {"GGML_VK_FORCE_MAX_BUFFER_SIZE": str(largest), "GGML_VK_DISABLE_FUSION": "1"}
    return subprocess.run(
        [sys.executable, "-c", AS_A_GPU, *ASK, *arguments],
        env={**os.environ, **changes},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize("largest", [WEIGHTS, CACHE])
def test_the_processor_takes_over(gpu: Gpu, largest: int) -> None:
    done = run(largest)
    assert done.returncode == 0 and done.stdout.strip() == ANSWER, done.stderr
    notices = [line for line in done.stderr.splitlines() if not line.startswith("ggml_vulkan")]
    assert len(notices) == 1, done.stderr
    assert f"{gpu.name} does not take the model (" in notices[0]
    assert "failed to allocate" in notices[0] and notices[0].endswith("the processor does it.")


@pytest.mark.parametrize(
    ("largest", "sentence"),
    [(WEIGHTS, "does not load on {name} ("), (CACHE, "no memory on {name} for a context of")],
)
@pytest.mark.parametrize("by_name", [True, False])
def test_a_device_that_is_asked_for_is_an_error(
    gpu: Gpu, by_name: bool, largest: int, sentence: str
) -> None:
    done = run(largest, "--device", gpu.name if by_name else "gpu")
    assert done.returncode == 1 and not done.stdout
    assert sentence.format(name=gpu.name) in done.stderr.splitlines()[-1]
