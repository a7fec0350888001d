"""A GPU for the tests marked `vulkan`, and models on it: `make test-vulkan`.

On a machine without a GPU it is Mesa's lavapipe, a program that computes on the processor what a
GPU would: the same shaders, slowly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mimo_edge.bundle.default_bundle import find_bundle
from mimo_edge.engine import Engine
from mimo_edge.model import MimoAudio
from mimo_edge.stages.machine.gpu import Gpu, gpus
from mimo_edge.stages.machine.runtime_options import RuntimeOptions
from tests.conftest import EXACT
from tests.golden.conftest import pytest_generate_tests

__all__ = ["pytest_generate_tests"]

GPU = RuntimeOptions()


@pytest.fixture(scope="session")
def gpu() -> Gpu:
    """The first device of llama.cpp's Vulkan."""
    found = [gpu for gpu in gpus() if gpu.library == "Vulkan"]
    if not found:
        pytest.skip(
            "llama.cpp finds no Vulkan device here: `make test-vulkan` builds it for that, and "
            "shows it Mesa's software one"
        )
    return found[0]


@pytest.fixture(scope="session")
def engine(gpu: Gpu, reference_bundle: Path) -> Iterator[Engine]:
    """The golden checkpoints in float32, with all layers on the GPU, one position at a time.

    For several positions at once, llama.cpp's Vulkan copies what attention multiplies into half
    precision, whatever number types are asked for; a single position is multiplied as it is.
    """
    engine = Engine.load(reference_bundle, replace(EXACT, device=gpu.name, prompt_piece=1))
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def on_gpu(gpu: Gpu) -> Iterator[MimoAudio]:
    """The demo model with all layers on the GPU."""
    with MimoAudio.load(find_bundle(None), replace(GPU, device=gpu.name)) as model:
        yield model


@pytest.fixture(scope="session")
def on_cpu(gpu: Gpu) -> Iterator[MimoAudio]:
    """The demo model on the processor, by the same llama.cpp."""
    with MimoAudio.load(find_bundle(None), replace(GPU, device="cpu")) as model:
        yield model
