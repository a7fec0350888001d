"""A GPU that fails while a model is loaded onto it.

No machine of these tests has a GPU. What stands in for one is a device that computes nothing, and
for its fault a llama.cpp that loads no file for it: the processor does the work all the same.
`tests/vulkan/test_faults.py` has a real device with real faults.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import llama_cpp
import pytest

from mimo_edge import MimoAudio, RuntimeOptions
from mimo_edge.engine import Engine
from mimo_edge.errors import DeviceError, NoMemoryError
from mimo_edge.stages.machine import gpu
from tests.stages.machine.test_gpu import CARD

OPTIONS = RuntimeOptions(threads=1, context=256)
Break = Callable[..., None]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Break:
    """A machine with a GPU onto which files of these names do not load; all if none is given."""
    load = llama_cpp.llama_model_load_from_file
    monkeypatch.setattr(gpu, "gpus", lambda: [CARD])

    def broken(*names: str) -> None:
        def fail(path: bytes, params: Any) -> Any:
            wanted = not names or Path(path.decode()).name in names
            return None if wanted and params.n_gpu_layers else load(path, params)

        monkeypatch.setattr(llama_cpp, "llama_model_load_from_file", fail)

    return broken


@pytest.fixture
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a GPU that has no memory for a cache: the first that is asked for."""
    allocate = llama_cpp.llama_init_from_model
    calls: list[int] = []
    monkeypatch.setattr(gpu, "gpus", lambda: [CARD])

    def fail_once(model: Any, params: Any) -> Any:
        calls.append(1)
        return allocate(model, params) if calls[1:] else None

    monkeypatch.setattr(llama_cpp, "llama_init_from_model", fail_once)


def test_the_processor_takes_over(
    broken: Break, default_bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken()
    with MimoAudio.load(default_bundle, OPTIONS) as model:
        model.warm_up()
        with model.session(reply="text") as session:
            session.ask(text="Hello.")
    (record,) = caplog.records
    assert record.getMessage() == (
        "Vulkan0 does not take the model (llama.cpp gives no reason); the processor does it."
    )


def test_a_cache_for_which_the_gpu_has_no_memory(
    no_cache: None, default_bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Engine.load(default_bundle, OPTIONS)
    assert not engine.plan.on_gpu
    engine.close()
    assert "no memory on Vulkan0 for a context of 256 positions" in caplog.text


def test_a_device_with_a_name_is_an_error(
    broken: Break, default_bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken()
    for device in ("gpu", "Vulkan0"):
        with pytest.raises(DeviceError, match=r"does not load on Vulkan0 \(.*\); .* on the CPU\."):
            Engine.load(default_bundle, replace(OPTIONS, device=device))
    assert not caplog.records


def test_a_cache_on_a_device_with_a_name_is_an_error(no_cache: None, default_bundle: Path) -> None:
    with pytest.raises(NoMemoryError, match="no memory on Vulkan0 for a context"):
        Engine.load(default_bundle, replace(OPTIONS, device="Vulkan0"))


@pytest.mark.parametrize("name", ["patch_encoder.gguf", "patch_decoder.gguf"])
@pytest.mark.parametrize("device", ["auto", "Vulkan0"])
def test_patches_without_the_gpu(
    broken: Break, gguf_bundle: Path, name: str, device: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The graphs take over, and the model itself stays where it is."""
    broken(name)
    options = replace(OPTIONS, device=device)
    with caplog.at_level(logging.WARNING):
        engine = Engine.load(gguf_bundle, options)
    assert "Vulkan0 does not take patches of sound" in caplog.text and len(caplog.records) == 1
    assert engine.plan.on_gpu
    assert engine.plan.place.patch_encoder.form == engine.plan.place.patch_decoder.form == "onnx"
    engine.warm_up()
    engine.close()
    with pytest.raises(DeviceError, match=rf"{name} does not load on Vulkan0 \(.*on the CPU\."):
        Engine.load(gguf_bundle, replace(options, patches="gguf"))
